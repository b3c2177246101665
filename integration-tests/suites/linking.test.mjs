// Several accounts at providers for one user: linked by the user alone, in the user's own browser. Numbers are those
// of the abuse cases.

import assert from 'node:assert/strict';
import { formWith, links } from '../lib/browser.mjs';
import { assertApiError, assertErrorPage } from '../lib/expect.mjs';
import { signIn, signInThrough, upstreamAnswer, whoAmI } from '../lib/flows.mjs';
import { Caller } from '../lib/management.mjs';
import { scenario } from '../lib/stage.mjs';

const ADA = { email: 'ada@example.test', email_verified: true, name: 'Ada' };
const IDENTITIES = '/api/user/identities';

/** Google and Microsoft stand-ins, an account at each, and Ada signed in through Google. */
async function setting(stage) {
  const { server, google, microsoft } = await stage.gatehouseWith(['google', 'microsoft']);
  const [atGoogle, atMicrosoft] = [google.account(ADA), microsoft.account({ email: 'ada@work.test', name: 'Ada at work' })];
  const ada = new Caller(server, (await signIn(server, 'google', atGoogle)).access);
  return { server, google, microsoft, atGoogle, atMicrosoft, ada };
}

const providers = async (caller) => (await caller.get(IDENTITIES)).json.map(({ provider }) => provider);

async function begin(caller, provider) {
  const answer = await caller.post(`${IDENTITIES}/${provider}/link`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.authorization_url;
}

/** Up to the page that asks who is sitting there. */
async function toTheProof(browser, address, account) {
  const page = await signInThrough(browser, address, account, { stopAt: undefined });
  assert.equal(new URL(page.url).pathname, '/auth/link/confirm', page.text);
  return page;
}

/** Signs in as the user to link to; returns the page that asks for the decision. */
async function prove(browser, page, provider, account) {
  const link = links(page).find((href) => new URL(href).pathname === `/auth/link/prove/${provider}`);
  assert(link, `the page offers ${provider}: ${links(page)}`);
  return signInThrough(browser, link, account, { stopAt: undefined });
}

scenario('a linked account signs in to the same user, and an unlinked one does not', async (stage) => {
  const { server, ada, atGoogle, atMicrosoft, google, microsoft } = await setting(stage);
  const [own] = (await ada.get(IDENTITIES)).json;
  assert.deepEqual(Object.keys(own).sort(), ['created_at', 'email', 'issuer', 'provider']);
  assert.deepEqual([own.provider, own.issuer, own.email], ['google', google.url, ADA.email]);
  const me = (await whoAmI(server, ada.access)).json;

  const browser = stage.browser();
  const asked = await toTheProof(browser, await begin(ada, 'microsoft'), atMicrosoft);
  for (const text of [ADA.email, 'Ada at work', 'ada@work.test']) assert(asked.text.includes(text), `the page names ${text}`);
  assert.deepEqual(await providers(ada), ['google'], 'nothing is linked yet');
  const decision = await prove(browser, asked, 'google', atGoogle);
  for (const text of [ADA.email, 'Ada at work', 'ada@work.test']) assert(decision.text.includes(text), `the page names ${text}`);
  assert.deepEqual(await providers(ada), ['google'], 'nor now');
  const done = await browser.submit(formWith(decision, 'csrf'), { decision: 'link' });
  assert.equal(done.status, 200, done.text);
  assert.match(done.text, /Linked/);
  assert.deepEqual(await providers(ada), ['google', 'microsoft']);

  const through = await signIn(server, 'microsoft', atMicrosoft);
  assert.equal((await whoAmI(server, through.access)).json.id, me.id);
  const again = await signInThrough(stage.browser(), await begin(ada, 'microsoft'), atMicrosoft, { stopAt: undefined });
  assert.match(again.text, /Linked/, 'what is linked already needs no decision');

  assert.equal((await ada.delete(`${IDENTITIES}/microsoft`)).status, 204);
  assertApiError(await ada.delete(`${IDENTITIES}/microsoft`), 404, 'NOT_FOUND');
  assertApiError(await ada.delete(`${IDENTITIES}/google`), 400, 'BAD_REQUEST');
  assert.deepEqual(await providers(ada), ['google']);
  const stranger = await signIn(server, 'microsoft', atMicrosoft);
  assert.notEqual((await whoAmI(server, stranger.access)).json.id, me.id);
  assert.equal(microsoft.calls.token, 4);
});

scenario('the address of a link does nothing for who cannot sign in as its user (37)', async (stage) => {
  const { server, ada, atGoogle, atMicrosoft, google } = await setting(stage);
  const eve = google.account({ email: 'eve@example.test', email_verified: true, name: 'Eve' });
  const evesSession = new Caller(server, (await signIn(server, 'google', eve)).access);
  // Eve begins, and has Ada open the address: Ada's account at Microsoft would become Eve's.
  const victim = stage.browser();
  const asked = await toTheProof(victim, await begin(evesSession, 'microsoft'), atMicrosoft);
  assert(asked.text.includes('eve@example.test'), 'the page says whose account it would be');
  assertErrorPage(await prove(victim, asked, 'google', atGoogle), 403);
  assert.doesNotMatch((await victim.get(`${server.url}/auth/link/confirm`)).text, /name="csrf"/, 'there is nothing to decide');
  assert.deepEqual(await providers(evesSession), ['google']);
  assert.deepEqual(await providers(ada), ['google']);
});

scenario('an account of another user is refused, and so is a second one of a provider', async (stage) => {
  const { server, ada, atGoogle, atMicrosoft, microsoft } = await setting(stage);
  await signIn(server, 'microsoft', atMicrosoft);
  assertErrorPage(await signInThrough(stage.browser(), await begin(ada, 'microsoft'), atMicrosoft, { stopAt: undefined }), 409);
  assert.deepEqual(await providers(ada), ['google']);

  const link = async (account) => {
    const browser = stage.browser();
    const decision = await prove(browser, await toTheProof(browser, await begin(ada, 'microsoft'), account), 'google', atGoogle);
    return browser.submit(formWith(decision, 'csrf'), { decision: 'link' });
  };
  assert.equal((await link(microsoft.account({ name: 'One' }))).status, 200);
  assertErrorPage(await link(microsoft.account({ name: 'Two' })), 409);
  assert.deepEqual(await providers(ada), ['google', 'microsoft']);
});

scenario('cancelling, logging out meanwhile, foreign forms and old tickets link nothing', async (stage) => {
  const { server, ada, atGoogle, atMicrosoft } = await setting(stage);
  assert.match((await signInThrough(stage.browser(), await begin(ada, 'microsoft'), 'cancel', { stopAt: undefined })).text, /Nothing was linked/);

  const browser = stage.browser();
  const address = await begin(ada, 'microsoft');
  const decision = await prove(browser, await toTheProof(browser, address, atMicrosoft), 'google', atGoogle);
  assertErrorPage(await browser.submit(formWith(decision, 'csrf'), { decision: 'link', csrf: 'A'.repeat(43) }), 403);
  assertErrorPage(await stage.browser().submit(formWith(decision, 'csrf'), { decision: 'link' }), 400);
  assert.match((await browser.clone().submit(formWith(decision, 'csrf'), { decision: 'cancel' })).text, /Nothing was linked/);
  assert.equal((await ada.post('/api/auth/logout')).status, 204);
  assertErrorPage(await browser.submit(formWith(decision, 'csrf'), { decision: 'link' }), 400);
  assertErrorPage(await stage.browser().get(address), 400);
  for (const bent of [address.replace('/microsoft?', '/google?'), address.slice(0, -2), address.split('?')[0], `${server.url}/auth/link/nonsense?ticket=x`]) {
    assertErrorPage(await stage.browser().get(bent), [400, 404]);
  }
  const back = new Caller(server, (await signIn(server, 'google', atGoogle)).access);
  assert.deepEqual(await providers(back), ['google']);
  assertApiError(await back.post(`${IDENTITIES}/github/link`), 404, 'NOT_FOUND');
  assertApiError(await Caller.anonymous(server).get(IDENTITIES), 401, 'UNAUTHORIZED');
});

scenario('a state of a link is no state of a sign-in', async (stage) => {
  const { server, ada, atMicrosoft, microsoft } = await setting(stage);
  const browser = stage.browser();
  const back = await upstreamAnswer(browser, server, await begin(ada, 'microsoft'), atMicrosoft);
  assertErrorPage(await stage.browser().get(back), 400);
  assert.equal(microsoft.calls.token, 0);
  const page = await browser.follow(await browser.get(back));
  assert.equal(new URL(page.url).pathname, '/auth/link/confirm');
  assertErrorPage(await browser.get(back), 400);
});

scenario('unlinking in parallel never takes the last account away', async (stage) => {
  const { server, ada, atGoogle, atMicrosoft } = await setting(stage);
  const me = (await whoAmI(server, ada.access)).json;
  for (let round = 0; round < 5; round += 1) {
    const [left] = await providers(ada);
    const [other, account, own] = left === 'google' ? ['microsoft', atMicrosoft, atGoogle] : ['google', atGoogle, atMicrosoft];
    const browser = stage.browser();
    const asked = await toTheProof(browser, await begin(ada, other), account);
    const decision = await prove(browser, asked, left, own);
    assert.equal((await browser.submit(formWith(decision, 'csrf'), { decision: 'link' })).status, 200);
    assert.equal((await providers(ada)).length, 2);
    const answers = await Promise.all([0, 1, 2, 3].flatMap(() => ['google', 'microsoft']).map((provider) => ada.delete(`${IDENTITIES}/${provider}`)));
    assert.equal(answers.filter(({ status }) => status === 204).length, 1, `round ${round}: ${answers.map(({ status }) => status)}`);
    const [kept, ...more] = await providers(ada);
    assert.equal(more.length, 0);
    const through = await signIn(server, kept, kept === 'google' ? atGoogle : atMicrosoft);
    assert.equal((await whoAmI(server, through.access)).json.id, me.id, 'the account that is left signs in to the same user');
  }
});

scenario('a user changes their name, and their address only to one that a linked account proves', async (stage) => {
  const { server, atGoogle, ada } = await setting(stage);
  const changed = await ada.patch('/api/user', { name: 'Ada Lovelace' });
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual([changed.json.name, changed.json.email], ['Ada Lovelace', ADA.email]);
  assert.deepEqual((await whoAmI(server, ada.access)).json, changed.json);

  assertApiError(await ada.patch('/api/user', { email: 'ada@elsewhere.test' }), 409, 'CONFLICT');
  for (const body of [{ email: 'nonsense' }, { email: null }, { name: '' }, { name: 7 }, { name: 'x'.repeat(101) }]) {
    assertApiError(await ada.patch('/api/user', body), 400, 'VALIDATION_FAILED');
  }
  assert.equal((await ada.patch('/api/user', { email: ADA.email.toUpperCase() })).json.email, ADA.email);
  // A sign-in brings the provider's name along and leaves the one that the user chose.
  const again = new Caller(server, (await signIn(server, 'google', atGoogle)).access);
  assert.equal((await again.get('/api/user')).json.name, 'Ada Lovelace');
  assert.equal((await again.patch('/api/user', { name: null })).json.name, null);
});
