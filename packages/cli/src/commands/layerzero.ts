import { publishedAddresses, publishedChains } from '@clearspan/devnet'
import { prepareRecovery, recoveryActions } from '@clearspan/relayer'
import { networkSchema, parseConfig, readJson, wordSchema } from '@clearspan/shared'
import { Argument, type Command } from 'commander'
import { z } from 'zod'

/** Commands about LayerZero itself: where it is, and what a delegate may do about a packet. */
export function addLayerZero(program: Command): void {
  const layerzero = program
    .command('layerzero')
    .description("LayerZero's contracts, and packets that are stuck")
  layerzero
    .command('chains')
    .description('list the chains that LayerZero publishes deployments of')
    .action(async () => {
      process.stdout.write(`${(await publishedChains()).join('\n')}\n`)
    })
  layerzero
    .command('addresses')
    .description("print where LayerZero's contracts are on a chain, for a network manifest")
    .argument('<chain>', 'such as arbitrum-mainnet')
    .action(async (chain: string) => {
      process.stdout.write(`${JSON.stringify(await publishedAddresses(chain), null, 2)}\n`)
    })
  layerzero
    .command('recover')
    .description("prepare a transaction for a receiver's delegate about a packet; nothing is sent")
    .addArgument(new Argument('<action>').choices(recoveryActions))
    .requiredOption('--network <file>', "the network's manifest")
    .requiredOption('--source <chain>', 'chain that sent the packet, by its name in the manifest')
    .requiredOption('--tx <hash>', 'transaction that sent it')
    .option('--guid <guid>', 'which of its packets, where it sent several')
    .action(
      async (
        action: (typeof recoveryActions)[number],
        options: { network: string; source: string; tx: string; guid?: string },
      ) => {
        const prepared = await prepareRecovery({
          network: await readJson(options.network, networkSchema),
          action,
          source: options.source,
          transaction: parseConfig(wordSchema, options.tx, '--tx'),
          guid: parseConfig(z.optional(wordSchema), options.guid, '--guid'),
        })
        process.stdout.write(`${JSON.stringify(prepared, null, 2)}\n`)
      },
    )
}
