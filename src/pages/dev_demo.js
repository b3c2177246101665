// The demo app of dev mode: a relying party without a library, to be read as much as to be run.
//
//   choose a provider -> signIn() -> /auth/{provider} -> ... -> /dev/callback -> finish() -> show()
//
// Data reaches the page as text only (textContent); the page's policy refuses anything else.

const demo = document.getElementById("demo").dataset;
const callback = `${demo.baseUrl}/dev/callback`;
const PENDING = "gatehouse-demo-pending";
const element = (id) => document.getElementById(id);

const MEANINGS = {
  iss: "Issuer: who made the token. Must equal the address you trust.",
  sub: "Subject: the user. Stable, never reused, means nothing elsewhere.",
  aud: "Audience: who the token is for. Refuse a token made for another.",
  exp: "Expires at. Refuse the token from then on.",
  iat: "Issued at.",
  nbf: "Not valid before.",
  jti: "Id of this token.",
  sid: "The session. Ends with sign-out, and every token of it ends too.",
  client_id: "The client that asked for the token.",
  scope: "What the client asked for and got.",
  token_use: "What kind of token this is.",
  auth_time: "When the user signed in at the provider.",
  email: "E-mail address that the provider proved.",
  is_platform_owner: "Whether the user administers the platform. Absent or false for end users.",
  org: "Organization whose user this is.",
  service: "Service that the token opens.",
  plan: "Plan that the user has at this service.",
  features: "Features that the plan includes.",
};

/** The tokens, in the memory of this page alone, where no later page finds them. */
let tokens = null;
let ticking = null;

// Bytes and PKCE

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

const randomText = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

/** RFC 7636 section 4.2: the challenge goes through the browser, the verifier stays here. */
async function challengeOf(verifier) {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

/** Reads a token's claims. It came straight from the issuer, so its signature adds nothing here (OpenID
 *  Connect Core section 3.1.3.7); a server that receives tokens from others must verify it. */
function claimsOf(token) {
  const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
}

// The flow

async function signIn(provider) {
  const pending = { state: randomText(), nonce: randomText(), verifier: randomText() };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
  const query = new URLSearchParams({
    org: demo.organization,
    service: demo.service,
    redirect_uri: callback,
    state: pending.state,
    code_challenge: await challengeOf(pending.verifier),
    code_challenge_method: "S256",
    scope: "openid profile email",
    nonce: pending.nonce,
  });
  location.assign(`/auth/${encodeURIComponent(provider)}?${query}`);
}

async function finish(answer) {
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  sessionStorage.removeItem(PENDING);
  // The answer must be to our own question (RFC 6749 section 10.12) and from our issuer (RFC 9207 section 2.4),
  // before anything else in it is believed.
  if (!pending || answer.get("state") !== pending.state) {
    throw problem("This answer does not belong to a sign-in of this tab.", "Start again below.");
  }
  if (answer.get("iss") !== demo.baseUrl) {
    throw problem("The answer names another issuer.", `Expected ${demo.baseUrl}, got ${answer.get("iss")}.`);
  }
  if (answer.has("error")) {
    throw problem(`Not signed in: ${answer.get("error")}.`, answer.get("error_description") ?? "");
  }
  const received = await askForTokens({
    grant_type: "authorization_code",
    code: answer.get("code") ?? "",
    redirect_uri: callback,
    code_verifier: pending.verifier,
  });
  checkIdToken(received.id_token, pending.nonce);
  await show(received);
  element("signed-in-title").focus();
}

/** OpenID Connect Core section 3.1.3.7, the steps that remain for a token fetched from the issuer itself. */
function checkIdToken(idToken, nonce) {
  if (!idToken) throw problem("The answer has no ID token.", "The scope asked for one.");
  const claims = claimsOf(idToken);
  const fits =
    claims.iss === demo.baseUrl &&
    [claims.aud].flat().includes(demo.clientId) &&
    claims.nonce === nonce &&
    claims.exp * 1000 > Date.now();
  if (!fits) throw problem("The ID token is not for this sign-in.", "Issuer, audience, nonce or expiry differ.");
}

function askForTokens(fields) {
  const body = new URLSearchParams({ client_id: demo.clientId, ...fields });
  return request("/auth/token", { method: "POST", body });
}

const bearer = () => ({ Authorization: `Bearer ${tokens.access_token}` });

async function refresh() {
  await show(await askForTokens({ grant_type: "refresh_token", refresh_token: tokens.refresh_token }));
  say("Refreshed: both tokens are new, the old refresh token is spent.");
}

async function signOut() {
  await request("/api/auth/logout", { method: "POST", headers: bearer() });
  forget();
  say("Signed out. The session and its tokens have ended at the server too.");
}

function forget() {
  clearInterval(ticking);
  tokens = null;
  element("signed-in").hidden = true;
  element("signed-out").hidden = false;
}

/** fetch() whose failures say what the server said: RFC 6749 section 5.2, or the API's own shape. */
async function request(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, cache: "no-store", redirect: "error" });
  } catch {
    throw problem("Gatehouse does not answer.", "Is it still running?");
  }
  const text = await answer.text();
  let body = {};
  try {
    body = text === "" ? {} : JSON.parse(text);
  } catch {
    // Not JSON: the status has to do.
  }
  if (!answer.ok) {
    const name = body.error_code ?? body.error ?? "";
    throw problem(`${path} answered ${answer.status} ${name}`.trim() + ".", body.error_description ?? body.detail ?? "");
  }
  return body;
}

// What is seen

const problem = (title, detail) => Object.assign(new Error(title), { detail });

function say(text) {
  element("problem").hidden = true;
  element("progress").textContent = text;
}

function complain(error) {
  element("progress").textContent = "";
  element("problem-title").textContent = error.message;
  element("problem-text").textContent = error.detail ?? "";
  element("problem").hidden = false;
}

async function show(received) {
  tokens = received;
  const claims = claimsOf(tokens.access_token);
  fill("claims", claims, (name) => MEANINGS[name] ?? "");
  fill("user", await request("/api/user", { headers: bearer() }));
  element("who").textContent = claims.email ?? claims.sub;
  element("signed-out").hidden = true;
  element("signed-in").hidden = false;
  say("");
  clearInterval(ticking);
  const tick = () => (element("countdown").textContent = timeLeft(claims.exp));
  tick();
  ticking = setInterval(tick, 1000);
}

function fill(table, object, meaning) {
  const rows = Object.entries(object).map(([name, value]) => {
    // Narrow screens stack the cells with `display: block`, which would cost the table its roles.
    const row = Object.assign(document.createElement("tr"), { role: "row" });
    row.append(cell("th", "rowheader", name), cell("td", "cell", readable(name, value)));
    if (meaning) row.append(cell("td", "cell", meaning(name)));
    return row;
  });
  element(table).replaceChildren(...rows);
}

const cell = (tag, role, textContent) => Object.assign(document.createElement(tag), { role, textContent });

function readable(name, value) {
  if (["exp", "iat", "nbf", "auth_time"].includes(name)) return `${value} (${new Date(value * 1000).toLocaleTimeString()})`;
  return typeof value === "string" ? value || "(empty)" : JSON.stringify(value);
}

function timeLeft(exp) {
  const seconds = Math.max(0, Math.round(exp - Date.now() / 1000));
  if (seconds === 0) return "0:00 (expired, refresh it)";
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

// Wiring

/** Runs one step at a time and shows what went wrong. */
function doing(text, work) {
  return async () => {
    const buttons = [...document.querySelectorAll("#demo button")];
    buttons.forEach((button) => (button.disabled = true));
    say(text);
    try {
      await work();
    } catch (error) {
      complain(error);
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  };
}

for (const button of document.querySelectorAll("[data-provider]")) {
  button.addEventListener("click", doing("Going to the provider…", () => signIn(button.dataset.provider)));
  button.disabled = false;
}
element("refresh").addEventListener("click", doing("Refreshing…", refresh));
element("sign-out").addEventListener("click", doing("Signing out…", signOut));
element("copy").hidden = !navigator.clipboard;
element("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(element("command").textContent);
  element("copy").textContent = "Copied";
});

if (location.origin !== demo.baseUrl) {
  // Redirect URIs and cookies belong to one origin: localhost and 127.0.0.1 are two.
  location.replace(`${demo.baseUrl}/dev`);
} else if (location.pathname === "/dev/callback") {
  const answer = new URLSearchParams(location.search);
  // The code leaves the address bar and the history before anything else can see it (RFC 9700 section 4.3.1).
  history.replaceState(null, "", "/dev");
  await doing("Finishing the sign-in…", () => finish(answer))();
}
