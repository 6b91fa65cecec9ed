// Shows openapi.json and sends requests. Whatever comes from there or from a server is put in as text, never as markup.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];
let api;

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
  node.append(...children.filter((child) => child !== undefined && child !== ""));
  return node;
}

function resolved(schema) {
  if (!schema?.$ref) return schema ?? {};
  const { $ref, ...own } = schema;
  return { ...$ref.split("/").slice(1).reduce((at, name) => at[name], api), ...own };
}

// ---- what a value may be -------------------------------------------------------------------------------------

function typed(schema) {
  const found = resolved(schema);
  if (found.anyOf) return found.anyOf.map(typed).join(" or ");
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.enum) return found.enum.map((one) => JSON.stringify(one)).join(", ");
  if (found.type === "array") return `list of ${typed(found.items)}`;
  return [found.title && found.properties ? found.title : found.type ?? "any", ...bounds(found)].join(", ");
}

function bounds(schema) {
  const said = { minimum: "from", maximum: "to", minLength: "at least", maxLength: "at most" };
  return Object.entries(said)
    .filter(([name]) => schema[name] !== undefined)
    .map(([name, word]) => `${word} ${schema[name]}${name.endsWith("Length") ? " characters" : ""}`);
}

function described(schema) {
  const found = resolved(schema);
  const usual = found.default === undefined || found.default === null ? "" : ` Default: ${JSON.stringify(found.default)}.`;
  return marked((found.description ?? "") + usual);
}

function marked(text) {
  const parts = text.split(/`([^`]*)`/).map((part, at) => (at % 2 ? make("code", {}, part) : part));
  return make("span", {}, ...parts);
}

function fields(schema, prefix = "") {
  const found = resolved(schema);
  if (found.type === "array") return fields(found.items, `${prefix}[].`.replace(".[]", "[]"));
  return Object.entries(found.properties ?? {}).flatMap(([name, one]) => {
    const inner = resolved(one).type === "array" ? resolved(resolved(one).items) : resolved(one);
    const within = inner.properties ? fields(inner, `${prefix}${name}${resolved(one).type === "array" ? "[]" : ""}.`) : [];
    const needed = found.required?.includes(name) ? "required" : "";
    return [[make("code", {}, prefix + name), typed(one), described(one), needed], ...within];
  });
}

function table(heads, rows) {
  const head = make("tr", {}, ...heads.map((one) => make("th", {}, one)));
  const lines = rows.map((row) =>
    make("tr", {}, ...row.map((cell, at) => make("td", heads[at] === "Values" ? { class: "type" } : {}, cell))));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...lines));
}

// ---- operations ----------------------------------------------------------------------------------------------

function operation(path, method, about) {
  const parts = [make("p", {}, marked(about.description ?? ""))];
  const inputs = new Map();
  if (about.parameters?.length) parts.push(make("h3", {}, "Parameters"), parameters(about.parameters, inputs));
  const content = Object.entries(about.requestBody?.content ?? {})[0];
  const body = content?.[0].endsWith("json") ? make("textarea", { spellcheck: "false" }) : undefined;
  if (content) {
    parts.push(make("h3", {}, `Body: ${content[0]}`), table(["Field", "Values", "", ""], fields(content[1].schema)));
  }
  if (body) {
    body.value = JSON.stringify(example(content[1].schema), null, 2);
    parts.push(body);
  }
  const answer = make("div", { "aria-live": "polite" });
  if (!content || body) {
    const button = make("button", { type: "button" }, `Send ${method.toUpperCase()}`);
    button.addEventListener("click", () => send(path, method, inputs, body, answer));
    parts.push(button, answer);
  }
  parts.push(make("h3", {}, "Answers"), ...answers(about.responses));
  const head = make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
    make("code", {}, path), about.summary ?? "");
  return make("details", { class: "operation", id: about.operationId ?? `${method} ${path}` }, head, make("div", {}, ...parts));
}

function parameters(known, inputs) {
  return table(["Parameter", "Values", "", "To send"], known.map((one) => {
    const input = make("input", { "aria-label": one.name });
    inputs.set(one, input);
    const about = { description: `${one.description ?? ""}${one.required ? " Required." : ""}`, default: one.schema?.default };
    return [make("code", {}, one.name), typed(one.schema), described(about), input];
  }));
}

function example(schema) {
  const found = resolved(schema);
  const needed = Object.entries(found.properties ?? {}).filter(([name]) => found.required?.includes(name));
  return Object.fromEntries(needed.map(([name, one]) => [name, resolved(one).const ?? resolved(one).default ?? ""]));
}

function answers(responses) {
  return Object.entries(responses ?? {}).map(([status, about]) => {
    const found = Object.values(about.content ?? {})[0]?.schema;
    const rows = found && Number(status) < 400 ? fields(found) : [];
    const head = make("summary", {}, make("code", {}, status), about.description ?? "");
    return rows.length ? make("details", {}, head, table(["Field", "Values", ""], rows.map((row) => row.slice(0, 3))))
      : make("p", {}, make("code", {}, status), ` ${about.description ?? ""}`);
  });
}

// ---- requests ------------------------------------------------------------------------------------------------

function authorization() {
  const given = document.forms.who.elements;
  if (given.token.value) return { Authorization: `Bearer ${given.token.value}` };
  if (!given.login.value) return {};
  const octets = new TextEncoder().encode(`${given.login.value}:${given.password.value}`);
  return { Authorization: `Basic ${btoa(String.fromCharCode(...octets))}` };
}

async function send(path, method, inputs, body, answer) {
  const missing = [...inputs].filter(([one, input]) => one.in === "path" && !input.value).map(([one]) => one.name);
  if (missing.length) return answer.replaceChildren(make("p", {}, `Not sent: ${missing.join(", ")} has to be filled in.`));
  const query = new URLSearchParams();
  let target = path;
  for (const [one, input] of inputs) {
    if (one.in === "path") target = target.replace(`{${one.name}}`, encodeURIComponent(input.value));
    else if (one.in === "query" && input.value) query.set(one.name, input.value);
  }
  const headers = { ...authorization(), ...(body ? { "Content-Type": "application/json" } : {}) };
  const url = `.${target}${query.size ? `?${query}` : ""}`;
  answer.replaceChildren("…");
  try {
    const reply = await fetch(url, { method: method.toUpperCase(), headers, body: body?.value, credentials: "omit" });
    answer.replaceChildren(make("p", {}, make("code", {}, `${method.toUpperCase()} ${url.slice(1)}`)),
      make("p", {}, make("b", {}, `${reply.status} ${reply.statusText}`)), make("pre", {}, readable(await reply.text())));
  } catch (error) {
    answer.replaceChildren(make("p", {}, `No answer: ${error.message}`));
  }
}

function readable(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text.slice(0, 20000);
  }
}

async function start() {
  const place = document.getElementById("operations");
  try {
    api = await (await fetch("openapi.json")).json();
  } catch (error) {
    place.replaceChildren(make("p", {}, `openapi.json cannot be read: ${error.message}`));
    return;
  }
  document.getElementById("version").textContent = api.info.version;
  const groups = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const group = [item[method].tags?.[0] ?? "engine", path.match(/^\/\w+\/v\d+/)?.[0] ?? ""].join(" ");
      groups.set(group, [...(groups.get(group) ?? []), operation(path, method, item[method])]);
    }
  }
  place.replaceChildren(...[...groups].flatMap(([group, known]) => [make("h2", {}, group), ...known]));
  if (location.hash) {
    const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (named) { named.open = true; named.scrollIntoView(); }
  }
}

start();
