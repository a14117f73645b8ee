// @x402/axios, protocol version 2.

import { wrapAxiosWithPaymentFromConfig } from "@x402/axios";

import { payWithAxios } from "./lib/axios.mjs";
import { config } from "./lib/choosing.mjs";
import { run } from "./lib/journey.mjs";

await run(() => payWithAxios((instance) => wrapAxiosWithPaymentFromConfig(instance, config)));
