//! Two organizations with everything that an organization has, and everybody who might call.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::guards::Who;
use crate::support::{Answer, SignIn, Tokens, World, authorize_query, claims_of};

/// A UUID that is nobody's.
const ABSENT: &str = "01900000-0000-7000-8000-00000000abcd";
const REDIRECT_URI: &str = "http://127.0.0.1/callback";

/// An organization and one of each kind of thing in it, by the names that stand in paths.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) slug: String,
    pub(crate) id: String,
    customer_token: String,
    service: String,
    plan: String,
    invitation: String,
    webhook: String,
    /// The session of the end user.
    session: String,
    /// A member who calls nothing.
    member: String,
    end_user: String,
    /// A platform owner who calls nothing. The same in every tenant.
    platform_owner: String,
}

impl Tenant {
    /// One that does not exist, and nothing in it either.
    pub(crate) fn missing() -> Self {
        let absent = || ABSENT.to_owned();
        Self {
            slug: "missing".to_owned(),
            id: absent(),
            customer_token: absent(),
            service: absent(),
            plan: absent(),
            invitation: absent(),
            webhook: absent(),
            session: absent(),
            member: absent(),
            end_user: absent(),
            platform_owner: absent(),
        }
    }

    /// What stands for a parameter in a path of this organization.
    fn fill(&self, path: &str, parameter: &str) -> &str {
        match parameter {
            "{provider}" if path.contains("/oauth-credentials/") => "github",
            "{provider}" => "dev",
            "{org}" => &self.slug,
            "{id}" if path.starts_with("/api/platform/organizations/") => &self.id,
            "{id}" if path.starts_with("/api/platform/tiers/") => ABSENT,
            "{svc}" => &self.service,
            "{plan}" => &self.plan,
            "{invitation}" => &self.invitation,
            "{webhook}" => &self.webhook,
            "{event}" | "{service_id}" => ABSENT,
            "{topic}" => "members",
            "{id}" if path.starts_with("/api/auth/sessions/") => &self.session,
            "{user_id}" if path.starts_with("/api/platform/owners/") => &self.platform_owner,
            "{user_id}" if path.contains("/members/") => &self.member,
            "{user_id}" if path.contains("/users/") => &self.end_user,
            _ => panic!("Tenant::fill does not know what stands for {parameter} in {path}"),
        }
    }

    /// The path with its parameters filled in.
    pub(crate) fn at(&self, path: &str) -> String {
        Self::path(path, |_| self)
    }

    /// The path with each parameter filled in from the tenant that `of` chooses for it.
    pub(crate) fn path<'t>(path: &str, of: impl Fn(&str) -> &'t Self) -> String {
        let fill = |segment| match segment {
            segment if str::starts_with(segment, "{") => of(segment).fill(path, segment),
            segment => segment,
        };
        path.split('/').map(fill).collect::<Vec<_>>().join("/")
    }

    /// The same organization by its id.
    pub(crate) fn by_id(&self) -> Self {
        Self { slug: self.id.clone(), ..self.clone() }
    }

    /// Every name of something in it: what a body about it may contain.
    pub(crate) fn names(&self) -> [&str; 7] {
        [&self.slug, &self.id, &self.service, &self.plan, &self.invitation, &self.member, &self.end_user]
    }
}

/// The parameters of a path that stand for something inside an organization.
pub(crate) fn children(path: &str) -> Vec<&str> {
    path.split('/')
        .filter(|segment| {
            segment.starts_with('{') && !["{org}", "{provider}", "{event}", "{topic}"].contains(segment)
        })
        .collect()
}

/// Everybody, with the tokens that they send.
pub(crate) struct Cast {
    pub(crate) a: Tenant,
    pub(crate) b: Tenant,
    tokens: HashMap<Who, String>,
}

impl Cast {
    pub(crate) fn token(&self, who: Who) -> Option<&str> {
        self.tokens.get(&who).map(String::as_str)
    }

    /// All by the real flows. A is the demo organization, so that terminals sign in to it too.
    pub(crate) async fn assemble(world: &World) -> Self {
        // In dev mode the platform owner also owns the demo organization, until they hand it over.
        let founder = Person::of(world, "owner@example.com").await;
        let expired = Person::of(world, "owner-a@example.com").await.token;
        world.advance(15 * 60 * 1000);
        let founder = Person::of(world, &founder.email).await;
        let mut tokens = HashMap::from([
            (Who::Garbage, "garbage".to_owned()),
            (Who::Expired, expired),
            (Who::PlatformOwner, founder.token.clone()),
        ]);

        let owner_of_b = Person::of(world, "owner-b@example.com").await;
        owner_of_b
            .send(world, "POST", "/api/organizations", json!({"slug": "globex", "name": "Globex"}))
            .await;
        founder.send(world, "POST", "/api/platform/organizations/globex/approve", json!({})).await;
        for slug in ["demo", "globex"] {
            let path = format!("/api/platform/organizations/{slug}/tier");
            founder.send(world, "PATCH", &path, json!({"tier_id": "tier_enterprise"})).await;
        }

        let owner_of_a = founder.engage(world, "demo", ("owner-a@example.com", "admin")).await;
        let former_owner = founder.engage(world, "demo", ("former-owner@example.com", "admin")).await;
        let hand_over = |to: &Person| json!({"new_owner_user_id": to.id});
        let transfer = "/api/organizations/demo/transfer-ownership";
        founder.send(world, "POST", transfer, hand_over(&former_owner)).await;
        founder
            .send(world, "DELETE", &format!("/api/organizations/demo/members/{}", founder.id), json!({}))
            .await;
        former_owner.send(world, "POST", transfer, hand_over(&owner_of_a)).await;
        let former_admin = owner_of_a.engage(world, "demo", ("former-admin@example.com", "admin")).await;
        let leaves = format!("/api/organizations/demo/members/{}", former_admin.id);
        owner_of_a.send(world, "DELETE", &leaves, json!({})).await;
        tokens.insert(Who::FormerOwnerOfA, former_owner.token);
        tokens.insert(Who::FormerAdminOfA, former_admin.token);

        for (who, owner, slug, email, role) in [
            (Who::MemberOfA, &owner_of_a, "demo", "member-a@example.com", "member"),
            (Who::AdminOfA, &owner_of_a, "demo", "admin-a@example.com", "admin"),
            (Who::MemberOfB, &owner_of_b, "globex", "member-b@example.com", "member"),
            (Who::AdminOfB, &owner_of_b, "globex", "admin-b@example.com", "admin"),
        ] {
            tokens.insert(who, owner.engage(world, slug, (email, role)).await.token);
        }

        let former_platform_owner = Person::of(world, "former-platform-owner@example.com").await;
        let second_platform_owner = Person::of(world, "second-owner@example.com").await;
        for person in [&former_platform_owner, &second_platform_owner] {
            founder.send(world, "POST", "/api/platform/owners", json!({"user_id": person.id})).await;
        }
        let demote = format!("/api/platform/owners/{}", former_platform_owner.id);
        founder.send(world, "DELETE", &demote, json!({})).await;
        tokens.insert(Who::FormerPlatformOwner, former_platform_owner.token);

        let a = owner_of_a.furnish(world, "demo", &second_platform_owner.id).await;
        let b = owner_of_b.furnish(world, "globex", &second_platform_owner.id).await;
        let ended = Person::of(world, &owner_of_a.email).await.token;
        world.post("/api/auth/logout").bearer(&ended).send().await.expect(204);
        tokens.insert(Who::Ended, ended);
        tokens.insert(Who::OwnerOfA, owner_of_a.token);
        tokens.insert(Who::OwnerOfB, owner_of_b.token);
        tokens.insert(Who::WebUserOfA, world.web_tokens("ada@example.com").await.access);
        tokens.insert(Who::DeviceUserOfA, world.device_tokens("ada@example.com").await.access);
        tokens.insert(Who::EndUserOfB, b.customer_token.clone());
        Self { a, b, tokens }
    }
}

/// Signs in to the service that [`Person::furnish`] makes.
async fn end_user(world: &World, org: &str, (client_id, email): (&str, &str)) -> Tokens {
    let query = authorize_query(REDIRECT_URI);
    let target = format!("/auth/dev?org={org}&service=shop-of-{org}&{query}");
    let code = SignIn::begin(world, &target).await.code(email).await;
    world.redeem(client_id, REDIRECT_URI, &code).await
}

/// Somebody of the platform realm.
struct Person {
    email: String,
    id: String,
    token: String,
}

impl Person {
    async fn of(world: &World, email: &str) -> Self {
        let token = world.platform_tokens(email).await.access;
        let id = claims_of(&token)["sub"].as_str().unwrap().to_owned();
        Self { email: email.to_owned(), id, token }
    }

    /// Sends something that must succeed.
    async fn send(&self, world: &World, method: &str, path: &str, body: Value) -> Answer {
        let request = world.request(method, path).bearer(&self.token);
        let answer = request.body("application/json", body.to_string()).send().await;
        assert!(answer.status < 300, "{} was answered: {}", answer.what, answer.body);
        answer
    }

    /// Invites somebody, who accepts.
    async fn engage(&self, world: &World, slug: &str, (email, role): (&str, &str)) -> Self {
        let path = format!("/api/organizations/{slug}/invitations");
        let token =
            self.send(world, "POST", &path, json!({"email": email, "role": role})).await.text("token");
        let person = Self::of(world, email).await;
        person.send(world, "POST", "/api/invitations/accept", json!({"token": token})).await;
        person
    }

    /// Puts one of everything into the organization.
    async fn furnish(&self, world: &World, slug: &str, platform_owner: &str) -> Tenant {
        let path = format!("/api/organizations/{slug}");
        let organization = self.send(world, "GET", &path, json!({})).await.json();
        let service = json!({
            "slug": format!("shop-of-{slug}"), "name": "Shop", "service_type": "web", "redirect_uris": [REDIRECT_URI],
        });
        let created = self.send(world, "POST", &format!("{path}/services"), service).await.json();
        let text = |member: &str| created["service"][member].as_str().unwrap().to_owned();
        let (service, client_id) = (text("id"), text("client_id"));
        let plans = format!("{path}/services/{service}/plans");
        let plan = self.send(world, "POST", &plans, json!({"name": "Gold"})).await.text("id");
        let credentials = json!({"client_id": "own", "client_secret": "a secret of the cast"});
        self.send(world, "POST", &format!("{path}/oauth-credentials/github"), credentials).await;
        let hook = json!({"url": "http://127.0.0.1:9/hook"});
        let webhook = self.send(world, "POST", &format!("{path}/webhooks"), hook).await.json();
        let invite = json!({"email": format!("invited-to-{slug}@example.com"), "role": "member"});
        let invitation = self.send(world, "POST", &format!("{path}/invitations"), invite).await.json();
        let member = self.engage(world, slug, (&format!("quiet-in-{slug}@example.com"), "member")).await;
        let customer = end_user(world, slug, (&client_id, &format!("customer-of-{slug}@example.com"))).await;
        // Last: from now on the service is confidential.
        self.send(world, "POST", &format!("{path}/services/{service}/client-secret"), json!({})).await;
        Tenant {
            slug: slug.to_owned(),
            id: organization["organization"]["id"].as_str().unwrap().to_owned(),
            service,
            plan,
            invitation: invitation["invitation"]["id"].as_str().unwrap().to_owned(),
            webhook: webhook["webhook"]["id"].as_str().unwrap().to_owned(),
            session: claims_of(&customer.access)["sid"].as_str().unwrap().to_owned(),
            member: member.id,
            end_user: claims_of(&customer.access)["sub"].as_str().unwrap().to_owned(),
            customer_token: customer.access,
            platform_owner: platform_owner.to_owned(),
        }
    }
}
