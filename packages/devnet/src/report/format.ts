import type { ClosingReport } from './index.js'

/** The report as a person reads it in a terminal. */
export function formatReport(report: ClosingReport): string {
  const { window, prices, losses } = report
  const lines = [
    '',
    `REPORT  ${window.start} to ${window.end} at ${report.speed}×${window.worst ? `, worst: ${window.worst}` : ''}`,
    `prices from ${prices.tape}`,
    ...prices.real.map((line) => `  recorded   ${line}`),
    ...prices.simulated.map((line) => `  simulated  ${line}`),
    ...prices.notes.map((line) => `  note       ${line}`),
    ...report.derivedFeeds.map(
      ({ feed, value, fresh }) =>
        `  derived    ${feed} ${value ?? 'has no value yet'}${value === null || fresh ? '' : ' (stale)'}`,
    ),
    '',
    'accounts (settlement units; IM and MM are what is left above the margin)',
    table(
      ['account', 'equity before', 'IM', 'MM', 'equity after', 'IM', 'MM', 'liquidated', 'collateral'],
      report.accounts.map(({ name, before, after, liquidated, cash, collateral }) => [
        name,
        before.equity,
        before.im,
        before.mm,
        after.equity,
        after.im,
        after.mm,
        liquidated ? 'yes' : 'no',
        [
          `cash ${cash}`,
          ...collateral.map(
            ({ chain, token, amount }) => `${Number(amount).toFixed(4)} ${token} on ${chain}`,
          ),
        ].join(', '),
      ]),
    ),
    '',
    `liquidations: ${report.liquidations.length}`,
    ...report.liquidations.flatMap(({ account, startedAt, equity, mm, steps }) => [
      `  ${startedAt}  ${account}: equity ${equity}, MM ${mm}`,
      ...steps.map(
        ({ at, by, fraction, payment, fromFund, priceShare }) =>
          `    ${at}  ${by} takes ${(Number(fraction) * 100).toFixed(1)}% for ${payment} (${(Number(priceShare) * 100).toFixed(1)}% of its worth), the fund pays ${fromFund}`,
      ),
    ]),
    ...(report.expiries.length > 0 ? ['', 'expired'] : []),
    ...report.expiries.map(describeExpiry),
    ...(report.lots.length > 0 ? ['', 'collateral sold for the fund'] : []),
    ...report.lots.map(
      ({ chain, token, amount, proceeds, againstOracleBps }) =>
        `  ${amount} ${token} on ${chain} for ${proceeds} (${againstOracleBps} bps against the oracle)`,
    ),
    ...report.unsold.map((line) => `  unsold: ${line}`),
    '',
    `losses: bad debt ${losses.badDebt}, paid by the fund ${losses.paidByFund}, by the other side ${losses.socialised}; fund ${losses.fundBefore} before, ${losses.fundAfter} after beside a backstop book worth ${losses.backstop}`,
    '',
    'message latency',
    table(
      ['stage', 'count', 'p50', 'p95', 'max', 'unit'],
      report.latencies.map(({ stage, count, p50, p95, max, unit }) => [
        stage,
        String(count),
        p50.toFixed(0),
        p95.toFixed(0),
        max.toFixed(0),
        unit,
      ]),
    ),
    '',
    'gas',
    table(
      ['transaction', 'count', 'mean', 'max'],
      report.gas.map(({ kind, count, mean, max }) => [kind, String(count), String(mean), String(max)]),
    ),
    '',
    'who may do what, from chain state',
    ...report.authorities.flatMap(describeAuthority),
    '',
    'checks, from chain state',
    ...report.checks.map(
      ({ invariant, claim, holds, detail }) =>
        `  ${holds ? 'holds ' : 'BROKEN'}  ${invariant}. ${claim}: ${detail}`,
    ),
    '',
  ]
  return lines.join('\n')
}

function describeExpiry(one: ClosingReport['expiries'][number]): string {
  const { instrument, strike, expiry, settledAt, coupons, positions } = one
  const unit = coupons === null ? `a unit pays ${settledAt}` : `a unit has received ${coupons}`
  const closed = positions.map(
    ({ account, size, cash }) => `${account} ${Number(size).toFixed(4)} for ${cash}`,
  )
  return [
    `  ${expiry}  ${instrument}${strike === null ? '' : ` at ${strike}`}`,
    settledAt === null ? 'not settled' : unit,
    ...closed,
  ].join(', ')
}

function describeAuthority({ chain, governed, others, roles }: ClosingReport['authorities'][number]) {
  return [
    `  ${chain}: governance owns ${governed.join(', ')}`,
    ...others.map(({ contract, as, account }) => `    ${account} is ${as} of ${contract}`),
    ...roles.map(({ role, account, delaySeconds, may }) => {
      const when = delaySeconds === 0 ? 'at once' : `after ${delaySeconds} s`
      return `    ${role} ${account}, ${when}: ${role === 'council' ? 'whatever an owner may' : may.join(', ')}`
    }),
  ]
}

/** Columns as wide as their widest cell; figures to the right. */
function table(head: string[], rows: string[][]): string {
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const isNumber = (text: string) => /^-?[\d.]+$/.test(text)
  return all
    .map((row) =>
      `  ${row
        .map((cell, column) =>
          isNumber(cell) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!),
        )
        .join('  ')}`.trimEnd(),
    )
    .join('\n')
}
