//! A module in Rust for the host's tests: greets by the name in its configuration, calls out, counts, refuses and rewrites.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use std::time::Duration;

#[no_mangle]
pub fn _start() {
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { greeting: String::new() }));
}

struct Root {
    greeting: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        match self.get_plugin_configuration().map(String::from_utf8) {
            Some(Ok(greeting)) => {
                self.greeting = greeting;
                true
            }
            _ => false,
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Greeter { greeting: self.greeting.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Greeter {
    greeting: String,
}

impl Context for Greeter {
    fn on_http_call_response(&mut self, _token: u32, _headers: usize, size: usize, _trailers: usize) {
        let answer = self.get_http_call_response_body(0, size).unwrap_or_default();
        self.set_http_request_header("x-called", std::str::from_utf8(&answer).ok());
        self.resume_http_request();
    }
}

impl HttpContext for Greeter {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.get_http_request_header(":path").as_deref() {
            Some("/forbidden") => {
                self.send_http_response(403, vec![("x-by", "rust")], Some(b"no"));
                Action::Pause
            }
            Some("/call") => {
                let headers = vec![(":method", "GET"), (":path", "/"), (":authority", "callout")];
                self.dispatch_http_call("callout", headers, None, vec![], Duration::from_secs(1)).unwrap();
                Action::Pause
            }
            _ => {
                self.set_http_request_header("x-greeting", Some(&self.greeting));
                Action::Continue
            }
        }
    }

    fn on_http_response_body(&mut self, size: usize, _end: bool) -> Action {
        if let Some(body) = self.get_http_response_body(0, size) {
            self.set_http_response_body(0, size, &body.to_ascii_uppercase());
        }
        Action::Continue
    }
}
