// x402-fetch, protocol version 1.

import { wrapFetchWithPayment } from "x402-fetch";

import { payWithFetch } from "./lib/fetching.mjs";
import { run } from "./lib/journey.mjs";
import { wallet } from "./lib/wallet.mjs";

await run(() => payWithFetch((fetching) => wrapFetchWithPayment(fetching, wallet)));
