"use strict";
// Reads /openapi.json with the token that is given, and shows it. Nothing is fetched from anywhere else, and the token
// is kept in a variable only.
const METHODS = ["get", "post", "put", "patch", "delete"];
const said = document.getElementById("said");
const all = document.getElementById("all");
let token = "";
let whole = {};

function make(tag, text = "", ...children) {
  const one = document.createElement(tag);
  one.textContent = text;
  one.append(...children);
  return one;
}

function resolved(schema) {
  if (!schema || !schema.$ref) return schema || {};
  return resolved(schema.$ref.split("/").slice(1).reduce((at, key) => at && at[key], whole));
}

// What a value of this schema may look like.
function example(schema, depth = 0) {
  const one = resolved(schema);
  if (one.default !== undefined && one.default !== null) return one.default;
  if (one.enum) return one.enum[0];
  const options = one.anyOf || one.oneOf || one.allOf;
  if (options) return example(options.find((o) => o.type !== "null") || options[0], depth);
  if (one.type === "object" && one.properties && depth < 4) {
    const wanted = Object.entries(one.properties).filter(([key]) => (one.required || []).includes(key));
    return Object.fromEntries(wanted.map(([key, value]) => [key, example(value, depth + 1)]));
  }
  if (one.type === "array") return depth < 4 && one.items ? [example(one.items, depth + 1)] : [];
  return { string: "text", integer: 1, number: 1, boolean: true, object: {} }[one.type] ?? null;
}

function kindOf(schema) {
  const one = resolved(schema);
  if (one.enum) return one.enum.join(" | ");
  const options = one.anyOf || one.oneOf;
  if (options) return options.map(kindOf).join(" or ");
  if (one.type === "array") return `list of ${kindOf(one.items)}`;
  return one.type || "anything";
}

function table(rows) {
  const body = make("tbody");
  for (const row of rows) body.append(make("tr", "", ...row.map((cell) => make("td", cell))));
  return make("table", "", body);
}

function fields(schema) {
  const one = resolved(schema);
  const needed = one.required || [];
  return Object.entries(one.properties || {}).map(([key, value]) => [
    key + (needed.includes(key) ? " *" : ""), kindOf(value), value.description || "",
  ]);
}

// A form that asks for real: the answer is shown as it came.
function trying(method, path, operation) {
  const form = make("form");
  const inputs = {};
  for (const p of operation.parameters || []) {
    const input = make("input");
    input.placeholder = p.in === "path" ? p.name : `${p.name} (optional)`;
    input.setAttribute("aria-label", p.name);
    input.required = p.in === "path";
    inputs[p.name] = [input, p];
    form.append(input);
  }
  const json = operation.requestBody && operation.requestBody.content["application/json"];
  const body = make("textarea");
  if (json) {
    body.rows = 6;
    body.setAttribute("aria-label", "body");
    body.value = JSON.stringify(example(json.schema), null, 2);
    form.append(body);
  }
  const answer = make("pre");
  answer.hidden = true;
  form.append(make("button", `${method.toUpperCase()} ${path}`));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let at = path;
    const query = new URLSearchParams();
    for (const [name, [input, p]] of Object.entries(inputs)) {
      if (p.in === "path") at = at.replace(`{${name}}`, encodeURIComponent(input.value));
      else if (p.in === "query" && input.value) query.append(name, input.value);
    }
    const more = json ? { body: body.value, headers: { "Content-Type": "application/json" } } : {};
    answer.hidden = false;
    answer.textContent = "...";
    try {
      const got = await ask(at + (query.size ? `?${query}` : ""), { method: method.toUpperCase(), ...more });
      const text = await got.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is no JSON: as it came */ }
      answer.textContent = `${got.status}\n${shown.slice(0, 100000)}`;
    } catch (error) {
      answer.textContent = String(error);
    }
  });
  return make("div", "", form, answer);
}

function shown(method, path, operation) {
  const [about, scope] = (operation.description || "").split(/\n*Needs the scope /);
  const right = make("span", scope ? scope.replace(/\.$/, "") : "open");
  right.className = "scope";
  const inside = make("div", "", make("p", about));
  inside.className = "inside";
  const params = (operation.parameters || []).map((p) => [p.name, p.in, kindOf(p.schema), p.description || ""]);
  if (params.length) inside.append(make("h3", "Parameters"), table(params));
  const json = operation.requestBody && operation.requestBody.content["application/json"];
  if (json) inside.append(make("h3", "Body"), table(fields(json.schema)));
  inside.append(make("h3", "Answers"),
    table(Object.entries(operation.responses).map(([status, r]) => [status, r.description])));
  const summary = make("summary", "", make("b", method.toUpperCase()), path, right);
  const one = make("details", "", summary, inside);
  one.addEventListener("toggle", () => {
    if (one.open && !one.tried) {
      one.tried = true;
      inside.append(make("h3", "Try"), trying(method, path, operation));
    }
  });
  return one;
}

function ask(path, more = {}) {
  return fetch(path, { ...more, headers: { ...more.headers, Authorization: `Bearer ${token}` } });
}

document.getElementById("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  token = document.getElementById("token").value.trim();
  all.replaceChildren();
  said.className = "";
  try {
    const got = await ask("/openapi.json");
    whole = await got.json();
    if (!got.ok) throw new Error(whole.error);
  } catch (error) {
    said.className = "wrong";
    said.textContent = error.message;
    return;
  }
  said.textContent = whole.info.description;
  const groups = new Map();
  for (const [path, item] of Object.entries(whole.paths)) {
    for (const method of METHODS.filter((m) => item[m])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(shown(method, path, item[method]));
    }
  }
  for (const [tag, operations] of [...groups].sort()) all.append(make("h2", tag), ...operations);
});
