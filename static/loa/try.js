// Sends a request of the visitor's own making to this site and shows the whole answer. Everything is written as text;
// nothing that was typed is kept, and no cookie goes along.
"use strict";

(() => {
  const form = document.querySelector("form[data-try]");
  if (!form) return;
  const operations = JSON.parse(document.getElementById("try-operations").textContent);
  const find = (name) => document.querySelector(`[data-try-${name}]`);
  const choice = document.getElementById("field-operation");
  const body = document.getElementById("field-body");
  const authorization = document.getElementById("field-authorization");

  const element = (name, text, facts = {}) => Object.assign(document.createElement(name), { textContent: text }, facts);

  const field = (parameter) => {
    const id = `field-${parameter.place}-${parameter.name}`;
    const line = element("p", "", { className: "field" });
    const label = element("label", parameter.name + (parameter.required ? "" : ", optional"), { htmlFor: id });
    const input = element("input", "", { id, required: parameter.required, autocomplete: "off", spellcheck: false });
    input.dataset.name = parameter.name;
    input.dataset.place = parameter.place;
    line.append(label, input);
    return line;
  };

  const show = () => {
    const chosen = operations[choice.value];
    find("summary").textContent = chosen.summary;
    find("fields").replaceChildren(...chosen.parameters.map(field));
    find("body").hidden = chosen.sample === null;
    body.value = chosen.sample === null ? "" : JSON.stringify(chosen.sample, null, 2);
    find("answer").hidden = true;
  };

  const typed = (place) =>
    [...find("fields").querySelectorAll("input")].filter((input) => input.dataset.place === place && input.value);

  const request = () => {
    const chosen = operations[choice.value];
    let path = chosen.path;
    for (const input of typed("path")) path = path.replace(`{${input.dataset.name}}`, encodeURIComponent(input.value));
    const query = new URLSearchParams(typed("query").map((input) => [input.dataset.name, input.value])).toString();
    const headers = Object.fromEntries(typed("header").map((input) => [input.dataset.name, input.value]));
    if (authorization.value) headers["Authorization"] = authorization.value;
    if (chosen.sample !== null) headers["Content-Type"] = "application/json";
    const sent = { method: chosen.method, headers, credentials: "omit", redirect: "manual" };
    if (chosen.sample !== null) sent.body = body.value;
    return [query ? `${path}?${query}` : path, sent];
  };

  const readable = (text) => {
    try {
      return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      return text;
    }
  };

  const terms = (header) => readable(new TextDecoder().decode(Uint8Array.from(atob(header), (byte) => byte.charCodeAt(0))));

  const part = (title, text) => {
    const box = element("pre", "", { tabIndex: 0 });
    box.append(element("code", text));
    return [element("h3", title), box];
  };

  const send = async () => {
    const parts = [];
    try {
      const answer = await fetch(...request());
      const text = await answer.text();
      find("status").textContent = `${answer.status} ${answer.statusText}`.trim();
      const asked = answer.headers.get("PAYMENT-REQUIRED");
      if (asked) parts.push(...part("Terms, from PAYMENT-REQUIRED", terms(asked)));
      if (text) parts.push(...part("Body", readable(text)));
      parts.push(...part("Headers", [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n")));
    } catch (error) {
      find("status").textContent = "No answer";
      parts.push(...part("What went wrong", String(error && error.message ? error.message : error)));
    }
    find("parts").replaceChildren(...parts);
    find("answer").hidden = false;
    find("status").focus();
  };

  choice.addEventListener("change", show);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    await send();
    button.disabled = false;
  });
  show();
})();
