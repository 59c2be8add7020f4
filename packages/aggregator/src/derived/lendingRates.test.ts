import { expect, test } from 'vitest'
import { lendingVenues } from './lendingRates.js'

const TIME = 1_721_899_048_991
const YEARLY = 10n ** 16n

/** In the venues' own shapes: 0.05 a year, among what isn't asked for. */
const okx = {
  code: '0',
  data: [
    {
      basic: [
        { ccy: 'USDT', quota: '500000', rate: '0.00043728' },
        { ccy: 'USDC', quota: '500000', rate: '0.0001' },
      ],
      vip: [{ irDiscount: '0.7', loanQuotaCoef: '6', level: 'VIP1' }],
      regular: [{ irDiscount: '1', loanQuotaCoef: '1', level: 'Lv1' }],
    },
  ],
  msg: '',
}
const bybit = {
  retCode: 0,
  retMsg: 'Success',
  result: {
    vipCoinList: [
      { list: [{ currency: 'USDC', hourlyBorrowRate: '0.000001' }], vipLevel: 'VIP-1' },
      {
        list: [{ borrowable: true, currency: 'USDC', hourlyBorrowRate: '0.000005', maxBorrowingAmount: '3' }],
        vipLevel: 'No VIP',
      },
    ],
  },
  retExtInfo: '{}',
  time: TIME,
}

test('rates a day, an hour and a year are rates a year', () => {
  expect(lendingVenues.okx.decode(okx, 'USDC')).toEqual({ rate: (365n * YEARLY) / 100n, eventTime: null })
  expect(lendingVenues.bybit.decode(bybit, 'USDC')).toEqual({ rate: 438n * 10n ** 14n, eventTime: TIME })
  expect(lendingVenues.plain.decode({ time: TIME, rate: '0.05' })).toEqual({
    rate: 5n * YEARLY,
    eventTime: TIME,
  })
})

test.each([
  ['venue_error', lendingVenues.okx.decode({ code: '50011', data: [] }, 'USDC')],
  ['venue_error', lendingVenues.bybit.decode({ retCode: 10_001 }, 'USDC')],
  ['unexpected_shape', lendingVenues.okx.decode(okx, 'DAI')],
  ['unexpected_shape', lendingVenues.okx.decode({ code: '0', data: null }, 'USDC')],
  ['unexpected_shape', lendingVenues.bybit.decode({ ...bybit, result: {} }, 'USDC')],
  ['bad_time', lendingVenues.bybit.decode({ ...bybit, time: '1' }, 'USDC')],
  ['bad_time', lendingVenues.plain.decode({ rate: '0.05' })],
  ['bad_price', lendingVenues.plain.decode({ time: TIME, rate: '0' })],
  ['bad_price', lendingVenues.plain.decode({ time: TIME, rate: '-0.01' })],
  ['bad_price', lendingVenues.plain.decode({ time: TIME })],
])('refused as %s', (reason, answer) => expect(answer).toBe(reason))
