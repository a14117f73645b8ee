// What every client script shares: the request it makes, how it watches its own payment leave, and the one line it prints.
//
// The scripts stay strangers to the server: they know a URL, a key and a body. With CAPTURE_ONLY=1 the signed payment
// is printed and not sent, so that a test can send copies of it.

export const url = process.env.BASE_URL + (process.env.URL_PATH ?? "/api/v1/x402/invoke");
export const privateKey = process.env.PRIVATE_KEY;
export const rpcUrl = process.env.RPC_URL;
export const body = process.env.BODY ?? JSON.stringify({ model: "loa-demo", prompt: "Say hello", max_tokens: 64 });
const captureOnly = process.env.CAPTURE_ONLY === "1";

const PAYMENT_HEADERS = ["payment-signature", "x-payment"];

export class Captured extends Error {
  constructor(payment) {
    super("captured before it was sent");
    this.payment = payment;
  }
}

/** The payment among `headers` as {name, value}; throws Captured when payments are only to be captured. */
export function watchPayment(headers) {
  for (const name of PAYMENT_HEADERS) {
    const value = headers.get(name);
    if (value) {
      const payment = { name, value };
      if (captureOnly) throw new Captured(payment);
      return payment;
    }
  }
  return null;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function receipt(header) {
  return header ? parsed(Buffer.from(header, "base64").toString("utf-8")) : null;
}

/** Print the one JSON line that the test reads. */
export function report({ status, text, header, payment }) {
  const paymentResponse = receipt(header);
  const loa = paymentResponse?.extensions?.loa;
  const line = {
    status,
    body: parsed(text),
    payment_response: paymentResponse,
    payment_id: loa?.payment_id ?? loa?.info?.payment_id ?? null,
    payment,
  };
  process.stdout.write(JSON.stringify(line) + "\n");
}

/** Run the journey; a capture is a success, anything else that is thrown ends the process with its reason. */
export async function run(journey) {
  try {
    await journey();
  } catch (error) {
    const captured = error instanceof Captured ? error : error?.cause;
    if (captured instanceof Captured) {
      report({ status: 0, text: "null", header: null, payment: captured.payment });
      return;
    }
    const reason = { error: String(error?.message ?? error), status: error?.response?.status ?? null, body: error?.response?.data ?? null };
    process.stdout.write(JSON.stringify(reason) + "\n");
    process.exitCode = 1;
  }
}
