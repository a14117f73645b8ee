// x402-axios, protocol version 1.

import { withPaymentInterceptor } from "x402-axios";

import { payWithAxios } from "./lib/axios.mjs";
import { run } from "./lib/journey.mjs";
import { wallet } from "./lib/wallet.mjs";

await run(() => payWithAxios((instance) => withPaymentInterceptor(instance, wallet)));
