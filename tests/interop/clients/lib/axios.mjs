// An axios instance that notices the payment header on its way out.

import axios from "axios";

import { body, report, url, watchPayment } from "./journey.mjs";

/** Pay with the given wrapper of an axios instance and report what came back. */
export async function payWithAxios(wrap) {
  let payment = null;
  const plain = axios.create({ transformResponse: (text) => text });
  const adapter = axios.getAdapter(plain.defaults.adapter);
  const instance = axios.create({
    adapter: (config) => {
      payment = watchPayment(axios.AxiosHeaders.from(config.headers)) ?? payment;
      return adapter(config);
    },
  });
  const response = await wrap(instance).post(url, JSON.parse(body));
  const header = response.headers["payment-response"] ?? response.headers["x-payment-response"];
  report({ status: response.status, text: JSON.stringify(response.data), header, payment });
}
