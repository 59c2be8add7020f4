import { expect, it } from 'vitest'
import { faultyNodes, quorumOf } from './quorum.js'

it.each([
  [4, 1, 3],
  [7, 2, 5],
  [10, 3, 7],
])('%i nodes bear %i faults and need %i', (nodes, faulty, quorum) => {
  expect([faultyNodes(nodes), quorumOf(nodes)]).toEqual([faulty, quorum])
})
