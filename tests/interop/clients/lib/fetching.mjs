// A fetch that notices the payment header on its way out.

import { body, report, url, watchPayment } from "./journey.mjs";

/** Pay with the given wrapper of fetch and report what came back. */
export async function payWithFetch(wrap) {
  let payment = null;
  const watched = async (input, init) => {
    const request = new Request(input, init);
    payment = watchPayment(request.headers) ?? payment;
    return fetch(request);
  };
  const response = await wrap(watched)(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
  });
  const header = response.headers.get("payment-response") ?? response.headers.get("x-payment-response");
  report({ status: response.status, text: await response.text(), header, payment });
}
