// @x402/axios, protocol version 2.

import { wrapAxiosWithPaymentFromConfig } from "@x402/axios";
import { ExactEvmScheme } from "@x402/evm";
import { privateKeyToAccount } from "viem/accounts";

import { payWithAxios } from "./lib/axios.mjs";
import { privateKey, run } from "./lib/journey.mjs";

const schemes = [{ network: "eip155:*", client: new ExactEvmScheme(privateKeyToAccount(privateKey)) }];

await run(() => payWithAxios((instance) => wrapAxiosWithPaymentFromConfig(instance, { schemes })));
