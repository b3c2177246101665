//! What `make bench` needs beside the service and wrk; each command prints one line of JSON:
//!
//! ```text
//! gatehouse-bench storage DATABASE SECONDS              what SQLite alone does with the same statements
//! gatehouse-bench sign-ins ADDRESS CONNECTIONS SECONDS  whole sign-ins in a browser's steps, so many at once
//! ```

mod sign_ins;
mod storage;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["storage", database, seconds] => storage(database, seconds),
        ["sign-ins", address, connections, seconds] => sign_ins(address, connections, seconds),
        _ => Err("storage DATABASE SECONDS, or sign-ins ADDRESS CONNECTIONS SECONDS".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("gatehouse-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn storage(database: &str, seconds: &str) -> Result<bool, Box<dyn Error>> {
    println!("{}", storage::measure(database, period(seconds)?)?);
    Ok(true)
}

/// Whether every sign-in got to its tokens.
fn sign_ins(address: &str, connections: &str, seconds: &str) -> Result<bool, Box<dyn Error>> {
    let measured = sign_ins::measure(address, connections.parse()?, period(seconds)?)?;
    for failure in &measured.failures {
        eprintln!("failed sign-in: {failure}");
    }
    println!("{measured}");
    Ok(measured.failures.is_empty())
}

fn period(seconds: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::try_from_secs_f64(seconds.parse()?)?)
}
