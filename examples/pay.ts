// Pays for one call with the official TypeScript client and prints the answer.

import { ExactEvmScheme } from "@x402/evm";
import { wrapFetchWithPaymentFromConfig } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";

const url: string = (process.env.BASE_URL ?? "http://127.0.0.1:8402") + (process.env.URL_PATH ?? "/api/v1/x402/invoke");
const body: string = process.env.BODY ?? JSON.stringify({ prompt: "Say hello", max_tokens: 64 });
const account = privateKeyToAccount(process.env.PRIVATE_KEY as `0x${string}`);

const pay: typeof fetch = wrapFetchWithPaymentFromConfig(fetch, {
  schemes: [{ network: "eip155:*", client: new ExactEvmScheme(account) }],
});

const answer: Response = await pay(url, { method: "POST", headers: { "Content-Type": "application/json" }, body });
if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
console.log(await answer.text());
