//! What the API document (`OpenAPI` 3.1) is made of: shapes of bodies, operations, and what follows from the code.
//!
//! ```text
//! <slice>/api.rs   says what only a person can say: what an operation is for, its parameters, bodies and refusals
//! app.rs           the route table: addresses, methods and callers
//! callers.rs       caller -> security scheme, who may call, refusals of the guard
//! failures.rs      address -> dialect of its errors; codes -> responses
//! document.rs      puts them together
//! ```
//! A body's example is put together from the examples of its members, so that it cannot be of another shape.

pub mod callers;
pub mod document;
pub mod failures;
pub mod objects;
pub mod operation;
pub mod path;
pub mod probes;
pub mod shape;
