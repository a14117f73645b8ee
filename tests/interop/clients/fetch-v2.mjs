// @x402/fetch, protocol version 2.

import { ExactEvmScheme } from "@x402/evm";
import { wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";

import { payWithFetch } from "./lib/fetching.mjs";
import { privateKey, run } from "./lib/journey.mjs";

const schemes = [{ network: "eip155:*", client: new ExactEvmScheme(privateKeyToAccount(privateKey)) }];

await run(() => payWithFetch((fetching) => wrapFetchWithPaymentFromConfig(fetching, { schemes })));
