// The wallet that the version 1 clients want: a viem wallet client on Base Sepolia's chain id, talking to the local chain.

import { createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { baseSepolia } from "viem/chains";

import { privateKey, rpcUrl } from "./journey.mjs";

export const wallet = createWalletClient({
  account: privateKeyToAccount(privateKey),
  transport: http(rpcUrl),
  chain: baseSepolia,
});
