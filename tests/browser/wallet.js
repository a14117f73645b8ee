/* A wallet as a browser extension injects it (EIP-1193). Its keys are outside the page, behind `signTypedData`. */
window.walletCalls = [];
window.ethereum = {
  chainId: "0x1",
  async request({ method, params }) {
    window.walletCalls.push(method);
    if (method === "eth_requestAccounts") {
      if (window.walletDeclines) throw Object.assign(new Error("User rejected the request."), { code: 4001 });
      return [await window.walletAddress()];
    }
    if (method === "eth_chainId") return this.chainId;
    if (method === "wallet_switchEthereumChain") {
      if (window.walletKnowsNoChain) throw Object.assign(new Error("Unrecognized chain"), { code: 4902 });
      this.chainId = params[0].chainId;
      return null;
    }
    if (method === "eth_signTypedData_v4") return window.signTypedData(params[0], params[1]);
    throw Object.assign(new Error(`The wallet has no ${method}`), { code: 4200 });
  },
};
