//! `GET /metrics`: who may read it, that every figure of every actor is in it, and that nothing makes it grow.

use std::collections::BTreeSet;
use std::net::TcpListener;

use gatehouse::metrics::actors::{without_figure, without_row};

use crate::support::{World, run, run_deployed};

const TOKEN: &str = "Qm7xT2vLc9Zw4RkP0sYb8NfHg3JdGu6E";

/// The series in a text of metrics, without their values.
fn series(text: &str) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

/// The value of one series.
#[track_caller]
fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

async fn scrape(world: &World) -> String {
    world.get("/metrics").send().await.expect(200).body
}

#[test]
fn every_figure_of_every_actor_has_its_row_and_every_row_its_figure() {
    run(async |world| {
        let snapshots = world.app.store.observe().await;
        assert_eq!(without_row(&snapshots), Vec::<String>::new());
        assert_eq!(without_figure(&snapshots), Vec::<String>::new());
    });
}

#[test]
fn requests_count_by_route_and_no_address_makes_a_series_of_its_own() {
    run(async |world| {
        let count = "gatehouse_http_request_seconds_count";
        let user = format!("{count}{{method=\"GET\",route=\"/api/user\",status=\"4xx\"}}");
        let provider = format!("{count}{{method=\"GET\",route=\"/auth/{{provider}}\",status=\"4xx\"}}");
        let unmatched = format!("{count}{{method=\"GET\",route=\"unmatched\",status=\"4xx\"}}");
        let unauthorized = "gatehouse_http_errors_total{code=\"UNAUTHORIZED\"}";
        for _ in 0..3 {
            world.get("/api/user").send().await.expect(401);
        }
        world.get("/auth/nobody-0?org=demo&service=web").send().await.expect(404);
        world.get("/nowhere-0").send().await.expect(404);
        world.request("BREW", "/nowhere-0").send().await.expect(404);
        scrape(world).await;
        let before = scrape(world).await;
        assert_eq!(value(&before, &user), 3);
        assert_eq!(value(&before, unauthorized), 3);
        assert_eq!((value(&before, &provider), value(&before, &unmatched)), (1, 1));
        for number in 1..=100 {
            world.get(&format!("/auth/nobody-{number}?org=o{number}&service=web")).send().await.expect(404);
            world.get(&format!("/nowhere-{number}/{number}")).send().await.expect(404);
            world.request(&format!("BREW{number}"), "/nowhere").send().await.expect(404);
        }
        let after = scrape(world).await;
        assert_eq!(series(&after), series(&before));
        assert_eq!((value(&after, &provider), value(&after, &unmatched)), (101, 101));
    });
}

#[test]
fn a_deployment_shows_nothing_unless_it_is_told_to() {
    run_deployed(&[], async |world| {
        let anywhere = world.get("/nowhere").send().await.expect_error(404, "NOT_FOUND");
        let metrics = world.get("/metrics").send().await.expect_error(404, "NOT_FOUND");
        assert_eq!(metrics.json()["error"], anywhere.json()["error"]);
        world.get("/metrics").bearer(TOKEN).send().await.expect(404);
    });
}

#[test]
fn with_a_token_who_presents_it_reads() {
    run_deployed(&[("METRICS_TOKEN", TOKEN)], async |world| {
        world.get("/metrics").send().await.expect_error(401, "UNAUTHORIZED");
        for wrong in ["x", "Qm7xT2vLc9Zw4RkP0sYb8NfHg3JdGu6", "Qm7xT2vLc9Zw4RkP0sYb8NfHg3JdGu6EE"] {
            world.get("/metrics").bearer(wrong).send().await.expect_error(401, "UNAUTHORIZED");
        }
        let answer = world.get("/metrics").bearer(TOKEN).send().await.expect(200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    });
}

#[test]
fn an_address_of_its_own_is_the_only_one() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    for (token, without) in [(None, 200), (Some(TOKEN), 401)] {
        let mut settings = vec![("METRICS_ADDR", address.as_str())];
        settings.extend(token.map(|token| ("METRICS_TOKEN", token)));
        run_deployed(&settings, async |world| {
            let own = |path: &str| format!("http://{address}{path}");
            world.get("/metrics").bearer(TOKEN).send().await.expect(404);
            let http = awc::Client::new();
            for (path, bearer, status) in [
                ("/metrics", None, without),
                ("/metrics", Some(TOKEN), 200),
                ("/health/live", None, 404),
                ("/api/user", Some(TOKEN), 404),
            ] {
                let request = http.get(own(path));
                let request = match bearer {
                    Some(token) => request.bearer_auth(token),
                    None => request,
                };
                assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{path} {bearer:?}");
            }
        });
    }
}
