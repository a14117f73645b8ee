// The way to pay a test wants: `exact-3009`, `exact-permit2` or `upto`, as schemes and a policy of the published client.

import { ExactEvmScheme } from "@x402/evm";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { privateKeyToAccount } from "viem/accounts";

import { privateKey } from "./journey.mjs";

const way = process.env.WAY ?? "exact-3009";
const account = privateKeyToAccount(privateKey);

function isWanted(offer) {
  const method = offer.extra?.assetTransferMethod ?? "eip3009";
  if (way === "upto") return offer.scheme === "upto";
  return offer.scheme === "exact" && method === (way === "exact-permit2" ? "permit2" : "eip3009");
}

export const config = {
  schemes: [
    { network: "eip155:*", client: new ExactEvmScheme(account) },
    { network: "eip155:*", client: new UptoEvmScheme(account) },
  ],
  policies: [(_version, offers) => offers.filter(isWanted)],
};
