// @x402/fetch, protocol version 2.

import { wrapFetchWithPaymentFromConfig } from "@x402/fetch";

import { config } from "./lib/choosing.mjs";
import { payWithFetch } from "./lib/fetching.mjs";
import { run } from "./lib/journey.mjs";

await run(() => payWithFetch((fetching) => wrapFetchWithPaymentFromConfig(fetching, config)));
