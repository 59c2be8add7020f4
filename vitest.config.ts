import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['@clearspan/source'] },
  ssr: { resolve: { conditions: ['@clearspan/source'] } },
  test: {
    include: [
      'packages/*/{src,ts}/**/*.test.ts',
      'test/*.test.ts',
      // Soaks that `test:full` adds.
      ...(process.env.CLEARSPAN_TEST_FULL === '1' ? ['test/full/*.test.ts'] : []),
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // What a poll waits for is an event: its time says only how busy the machine is.
    expect: { poll: { timeout: 30_000 } },
    // More than cores: the longest tests wait for blocks and slots.
    maxWorkers: 4,
    // Modules keep no state, so a worker loads each once for all its files: 6 s of work instead of 77.
    isolate: false,
  },
})
