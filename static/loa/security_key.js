// Asks a security key or passkey (WebAuthn) to answer the challenge of a form, writes the answer into it and sends it.
// Nothing depends on it: without it, or in a browser that has no keys, the button stays hidden and codes work.
"use strict";

(() => {
  const form = document.querySelector("form[data-security-key]");
  if (!form || !window.PublicKeyCredential || !navigator.credentials) return;
  const button = form.querySelector("[data-security-key-ask]");
  const says = form.querySelector("[data-security-key-says]");
  const options = JSON.parse(form.dataset.options);

  const bytes = (text) =>
    Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replaceAll("+", "-")
      .replaceAll("/", "_")
      .replaceAll("=", "");
  const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const create = () =>
    navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: known(options.excludeCredentials),
      },
    });
  const get = () =>
    navigator.credentials.get({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        allowCredentials: known(options.allowCredentials),
      },
    });
  const written = (credential) => {
    const { response } = credential;
    const answer = { clientDataJSON: text(response.clientDataJSON) };
    if (response.attestationObject) {
      answer.attestationObject = text(response.attestationObject);
      answer.transports = response.getTransports ? response.getTransports() : [];
    } else {
      answer.authenticatorData = text(response.authenticatorData);
      answer.signature = text(response.signature);
      if (response.userHandle) answer.userHandle = text(response.userHandle);
    }
    return JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      response: answer,
    });
  };

  button.hidden = false;
  button.addEventListener("click", async () => {
    if (!form.reportValidity()) return;
    button.disabled = true;
    says.textContent = form.dataset.waiting || "";
    try {
      const credential = form.dataset.securityKey === "create" ? await create() : await get();
      form.elements.answer.value = written(credential);
      form.submit();
    } catch (error) {
      says.textContent = error && error.message ? error.message : String(error);
      button.disabled = false;
    }
  });
})();
