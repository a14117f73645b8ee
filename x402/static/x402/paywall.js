/*
 * Pays for this page with an injected wallet (EIP-1193) and shows the answer.
 *
 * The signed payment is kept for this tab before it is sent: whatever happens on the way, the very same payment is sent
 * again, which gives the stored answer and never charges twice. A new one is signed only after a refusal.
 */
const SENDS_MAX = 30;
const CHAIN_UNKNOWN = 4902;
const DECLINED = 4001;
const ACCEPT = "text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8";

const element = (name) => document.getElementById(`x402-${name}`);
const read = (name) => JSON.parse(element(name).textContent);
const kept = `x402 ${location.pathname}${location.search}`;
const words = read("words");
let terms = read("terms");
let announced = null;

addEventListener("eip6963:announceProvider", (event) => { announced ??= event.detail.provider; });
dispatchEvent(new Event("eip6963:requestProvider"));

function say(word, facts = {}, tone = "") {
  const status = element("status");
  status.dataset.tone = tone;
  status.textContent = words[word].replace(/\{(\w+)\}/g, (_, name) => facts[name] ?? "").trim();
}

const encode = (document) => btoa(Array.from(new TextEncoder().encode(JSON.stringify(document)), (byte) => String.fromCharCode(byte)).join(""));
const decode = (header) => JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(header), (char) => char.charCodeAt(0))));
const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, seconds * 1000); });
const dollars = (amount) => `$${(Number(amount) / 1e6).toFixed(6).replace(/(\.\d\d\d*?)0+$/, "$1")}`;

const paidHeaders = () => ({ Accept: ACCEPT, "PAYMENT-SIGNATURE": sessionStorage.getItem(kept) });

function offerToSign() {
  return terms.accepts.find((offer) => offer.scheme === "exact" && (offer.extra.assetTransferMethod ?? "eip3009") === "eip3009");
}

function typedData(offer, authorization) {
  const field = (name, type) => ({ name, type });
  return {
    types: {
      EIP712Domain: [field("name", "string"), field("version", "string"), field("chainId", "uint256"), field("verifyingContract", "address")],
      TransferWithAuthorization: [
        field("from", "address"), field("to", "address"), field("value", "uint256"),
        field("validAfter", "uint256"), field("validBefore", "uint256"), field("nonce", "bytes32"),
      ],
    },
    domain: {
      name: offer.extra.name,
      version: offer.extra.version,
      chainId: Number(offer.network.split(":")[1]),
      verifyingContract: offer.asset,
    },
    primaryType: "TransferWithAuthorization",
    message: authorization,
  };
}

async function sign(wallet, offer) {
  say("connecting");
  const [from] = await wallet.request({ method: "eth_requestAccounts" });
  const chainId = `0x${Number(offer.network.split(":")[1]).toString(16)}`;
  if ((await wallet.request({ method: "eth_chainId" })) !== chainId) {
    say("switching", { network: offer.network });
    await wallet.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
  }
  const random = crypto.getRandomValues(new Uint8Array(32));
  const authorization = {
    from,
    to: offer.payTo,
    value: offer.amount,
    validAfter: "0",
    validBefore: String(Math.floor(Date.now() / 1000) + offer.maxTimeoutSeconds),
    nonce: `0x${Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("")}`,
  };
  say("signing", { price: dollars(offer.amount) });
  const signature = await wallet.request({
    method: "eth_signTypedData_v4",
    params: [from, JSON.stringify(typedData(offer, authorization))],
  });
  return encode({ x402Version: 2, payload: { signature, authorization }, accepted: offer, resource: terms.resource });
}

async function pay() {
  const wallet = window.ethereum ?? announced;
  const offer = offerToSign();
  if (!wallet) return say("no_wallet", {}, "bad");
  if (!offer) return say("no_offer", {}, "bad");
  try {
    sessionStorage.setItem(kept, await sign(wallet, offer));
  } catch (error) {
    if (error.code === DECLINED) return say("declined", {}, "bad");
    if (error.code === CHAIN_UNKNOWN) return say("unknown_chain", { network: offer.network }, "bad");
    return say("problem", { detail: error.message ?? String(error) }, "bad");
  }
  return send();
}

async function send() {
  for (let sent = 0; sent < SENDS_MAX; sent += 1) {
    say("sending");
    let answer;
    try {
      answer = await fetch(location.href, { headers: paidHeaders(), cache: "no-store" });
    } catch {
      return say("lost", {}, "bad");
    }
    if (answer.ok) return show(answer);
    if (answer.status !== 503) return refuse(answer);
    const seconds = Number(answer.headers.get("Retry-After") ?? 5);
    say("waiting", { seconds });
    await pause(seconds);
  }
  return say("lost", {}, "bad");
}

async function refuse(answer) {
  const header = answer.headers.get("PAYMENT-REQUIRED");
  if (answer.status === 402 && header) {
    sessionStorage.removeItem(kept);
    terms = decode(header);
    return say("refused", { detail: `${(terms.error ?? "").replaceAll("_", " ")}.` }, "bad");
  }
  const isProblem = (answer.headers.get("Content-Type") ?? "").includes("json");
  const problem = isProblem ? await answer.json() : { detail: `HTTP ${answer.status}.` };
  return say("problem", { detail: problem.detail, next: problem.next_step ?? "" }, "bad");
}

/* Asks once more, which costs nothing, for the answer as a document: a page is never made from a string here. */
function showPage() {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    for (const [name, value] of Object.entries(paidHeaders())) request.setRequestHeader(name, value);
    request.responseType = "document";
    request.addEventListener("load", () => {
      document.replaceChild(document.adoptNode(request.response.documentElement), document.documentElement);
      resolve();
    });
    request.addEventListener("error", () => { say("lost", {}, "bad"); resolve(); });
    request.send();
  });
}

async function show(answer) {
  const type = (answer.headers.get("Content-Type") ?? "").split(";")[0];
  if (type === "text/html") return showPage();
  const body = element("answer-body");
  if (type.startsWith("text/") || type.endsWith("json")) {
    const text = await answer.text();
    const block = document.createElement("pre");
    block.tabIndex = 0;
    block.textContent = type.endsWith("json") ? JSON.stringify(JSON.parse(text), null, 2) : text;
    body.replaceChildren(block);
  } else {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = location.pathname.split("/").pop() || "answer";
    link.textContent = words.download;
    body.replaceChildren(link);
  }
  showReceipt(answer.headers.get("PAYMENT-RESPONSE"));
  element("answer").hidden = false;
  element("pay").hidden = true;
  say("paid", {}, "good");
  return element("answer-title").focus();
}

function showReceipt(header) {
  if (!header) return;
  const receipt = decode(header);
  element("receipt").textContent = `${receipt.extensions?.loa?.payment_id ?? ""} ${receipt.network} ${receipt.transaction}`.trim();
}

async function busy(work) {
  const [pays, again] = [element("pay"), element("again")];
  pays.disabled = again.disabled = true;
  await work();
  pays.disabled = again.disabled = false;
  again.hidden = sessionStorage.getItem(kept) === null;
}

element("pay").addEventListener("click", () => busy(pay));
element("again").addEventListener("click", () => busy(send));
element("pay").hidden = false;
element("again").hidden = sessionStorage.getItem(kept) === null;
