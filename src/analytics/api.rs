//! What the API document says about this slice.

use crate::openapi::document::Chapter;
use crate::openapi::objects::{PROVIDERS, STATUSES};
use crate::openapi::operation::{Answer, get};
use crate::openapi::shape::{Shape, count, day, email, list, object, text, time, uuid, word};

/// Who signs in, to what, through whom.
#[must_use]
pub fn chapter() -> Chapter {
    let mut operations = vec![
        get("/api/organizations/{org}/analytics/login-trends", "getLoginTrends", "Sign-ins per day")
            .days()
            .ok("Every day of the range.", list(trend())),
        get(
            "/api/organizations/{org}/analytics/logins-by-service",
            "getLoginsByService",
            "Sign-ins per service",
        )
        .days()
        .ok("The most used first.", list(by_service())),
        get(
            "/api/organizations/{org}/analytics/logins-by-provider",
            "getLoginsByProvider",
            "Sign-ins per provider",
        )
        .days()
        .ok("The most used first.", list(by_provider())),
        get("/api/organizations/{org}/analytics/recent-logins", "listRecentLogins", "The latest sign-ins")
            .query("outcome", word(&["success", "failure", "all"]).default("success"))
            .limited(10)
            .ok("The newest first.", list(login())),
        get("/api/organizations/{org}/analytics/export", "exportLogins", "Download sign-ins as a file")
            .about(
                "The export is audited. A file that was cut off ends without its end: the connection breaks.",
            )
            .query("format", word(&["csv", "ndjson"]).default("csv"))
            .days()
            .answer(export()),
    ];
    operations.extend(of_platform());
    Chapter {
        tag: "Analytics",
        about: "Who signs in, to what, through whom. Days are days of UTC.",
        operations,
    }
}

fn of_platform() -> Vec<crate::openapi::operation::Operation> {
    vec![
        get("/api/platform/analytics/overview", "getPlatformOverview", "The platform in six numbers")
            .ok("They.", overview()),
        get(
            "/api/platform/analytics/organization-status",
            "countOrganizationsByStatus",
            "Organizations per state",
        )
        .ok("How many.", statuses()),
        get("/api/platform/analytics/growth-trends", "getGrowthTrends", "What came per day")
            .days()
            .ok("Every day of the range.", list(growth())),
        get("/api/platform/analytics/login-activity", "getLoginActivity", "Sign-ins on the platform per day")
            .days()
            .ok("Every day of the range.", list(activity())),
        get("/api/platform/analytics/top-organizations", "listTopOrganizations", "Organizations by use")
            .limited(10)
            .ok("The most used first.", list(top())),
        get(
            "/api/platform/analytics/recent-organizations",
            "listRecentOrganizations",
            "The latest organizations",
        )
        .limited(10)
        .ok("The newest first.", list(recent())),
    ]
}

fn trend() -> Shape {
    object([
        ("date", day()),
        ("count", count(12)),
        ("failed", count(1)),
        ("unique_users", count(9).about("Distinct users of the day.")),
        ("active_users_30d", count(31).about("Distinct users of the day and the 29 before.")),
    ])
    .named("LoginDay")
}

fn by_service() -> Shape {
    object([
        ("service_id", uuid()),
        ("service_name", text("Shop")),
        ("count", count(12)),
        ("failed", count(1)),
    ])
    .named("LoginsOfService")
}

fn by_provider() -> Shape {
    object([("provider", word(&PROVIDERS)), ("count", count(12)), ("failed", count(1))])
        .named("LoginsOfProvider")
}

fn login() -> Shape {
    object([
        ("id", uuid()),
        ("created_at", time()),
        ("outcome", word(&["success", "failure"])),
        ("reason", text("code_expired").or_null().about("Why it failed.")),
        ("method", text("web")),
        ("user_id", uuid().or_null()),
        ("email", email().or_null()),
        ("service_id", uuid().or_null()),
        ("service_name", text("Shop").or_null()),
        ("provider", text("github")),
        ("ip_address", text("203.0.113.7")),
        ("user_agent", text("Mozilla/5.0")),
    ])
    .named("Login")
}

fn export() -> Answer {
    let csv = "id,created_at,outcome,reason,method,user_id,email,service_id,service_name,provider,ip_address,user_agent";
    Answer {
        status: 200,
        about: "The file.",
        bodies: vec![
            ("text/csv", text(csv)),
            ("application/x-ndjson", text("{\"id\":\"0198c0de-4c1f-7000-8000-5a3c1e9f0b21\"}")),
        ],
        headers: vec![("Content-Disposition", "The name of the file.")],
    }
}

fn overview() -> Shape {
    object([
        ("total_organizations", count(3)),
        ("total_users", count(12)),
        ("total_end_users", count(400)),
        ("total_services", count(7)),
        ("total_logins_24h", count(90)),
        ("total_logins_30d", count(2100)),
    ])
    .named("PlatformOverview")
}

fn statuses() -> Shape {
    object([("pending", count(1)), ("active", count(2)), ("suspended", count(0)), ("rejected", count(0))])
        .named("OrganizationStatuses")
}

fn growth() -> Shape {
    object([
        ("date", day()),
        ("new_organizations", count(1)),
        ("new_users", count(2)),
        ("new_end_users", count(30)),
    ])
    .named("GrowthDay")
}

fn activity() -> Shape {
    object([("date", day()), ("count", count(90)), ("failed", count(2))]).named("ActivityDay")
}

fn top() -> Shape {
    object([
        ("id", uuid()),
        ("name", text("Acme")),
        ("slug", text("acme")),
        ("user_count", count(300)),
        ("service_count", count(4)),
        ("login_count_30d", count(1800)),
    ])
    .named("TopOrganization")
}

fn recent() -> Shape {
    object([
        ("id", uuid()),
        ("name", text("Acme")),
        ("slug", text("acme")),
        ("status", word(&STATUSES)),
        ("created_at", time()),
    ])
    .named("RecentOrganization")
}
