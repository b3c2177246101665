//! Device authorization (RFC 8628): a terminal asks, a person decides in a browser.
//!
//! ```text
//! terminal: POST /auth/device/code -> handlers::issue -> DeviceCodeBatcher (write) -> codes
//! browser:  GET  /activate         -> handlers::activate -> who asks? -> links to /auth/{provider}
//!           (signs in, see `login`, which claims the code for the account and sets the activation cookie)
//!           GET  /activate/confirm -> handlers::confirm -> service, organization, account, place
//!           POST /activate/confirm -> handlers::decide -> DecideDeviceCode (write) -> done
//! terminal: POST /auth/token       -> see `sessions`
//! tenants with a page of their own: POST /auth/device/verify -> handlers::verify
//! ```

pub mod api;
pub mod handlers;
mod view;
