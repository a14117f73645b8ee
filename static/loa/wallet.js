// Asks the visitor's wallet (EIP-1193) for an address and a signature, and puts both into the form's fields.
// Nothing depends on it: without a wallet in the browser the buttons stay hidden and the fields are filled by hand.
"use strict";

(() => {
  const wallet = window.ethereum;
  const find = (name) => document.querySelector(`[data-wallet-${name}]`);
  if (!wallet || typeof wallet.request !== "function") return;

  const say = (text) => {
    const place = find("says");
    if (place) place.textContent = text;
  };
  const hexadecimal = (text) =>
    "0x" + Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const offer = (button, act) => {
    if (!button) return;
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.disabled = true;
      say("");
      try {
        await act();
      } catch (error) {
        say(error && error.message ? error.message : String(error));
      } finally {
        button.disabled = false;
      }
    });
  };

  offer(find("connect"), async () => {
    const [address] = await wallet.request({ method: "eth_requestAccounts" });
    find("address").value = address;
  });
  offer(find("sign"), async () => {
    const message = find("message").value.replaceAll("\r\n", "\n");
    const [address] = await wallet.request({ method: "eth_requestAccounts" });
    find("signature").value = await wallet.request({ method: "personal_sign", params: [hexadecimal(message), address] });
    find("signature").form.requestSubmit();
  });
})();
