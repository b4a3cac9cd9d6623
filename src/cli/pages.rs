//! The web app's files and the client for browsers, inside the binary.

use std::hash::{DefaultHasher, Hash, Hasher};
use switchboard::{Builder, Bytes, Request, Response};

const HTML: &str = "text/html; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Path, media type, content.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/", HTML, include_bytes!("../web/index.html")),
    ("/single_chat", HTML, include_bytes!("../web/single_chat.html")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../web/style.css")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("../web/favicon.svg")),
    ("/client.js", JS, include_bytes!("../web/client.js")),
    ("/app.js", JS, include_bytes!("../web/app.js")),
    ("/connection.js", JS, include_bytes!("../web/connection.js")),
    ("/dom.js", JS, include_bytes!("../web/dom.js")),
    ("/echo.js", JS, include_bytes!("../web/echo.js")),
    ("/i18n.js", JS, include_bytes!("../web/i18n.js")),
    ("/inspector.js", JS, include_bytes!("../web/inspector.js")),
    ("/messages.js", JS, include_bytes!("../web/messages.js")),
];

/// Only what this server itself serves; pictures may also be inline.
const POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; style-src 'self' 'unsafe-inline'; \
                      script-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

/// Pages of other sites may import it, as far as their origin may connect.
const FOR_ALL: &str = "/client.js";

pub(crate) fn add(builder: Builder) -> Builder {
    FILES.iter().fold(builder, |builder, &(path, media_type, content)| {
        let tag = tag(content);
        builder.get(path, move |request| {
            let response = match is_known(request, &tag) {
                true => Response::new(media_type, Bytes::new()).with_status(304),
                false => Response::new(media_type, Bytes::from_static(content)),
            };
            let response = match path {
                FOR_ALL => response
                    .with_header("access-control-allow-origin", "*")
                    .with_header("cross-origin-resource-policy", "cross-origin"),
                _ => response,
            };
            response
                .with_header("content-security-policy", POLICY)
                .with_header("x-content-type-options", "nosniff")
                .with_header("referrer-policy", "no-referrer")
                // Asked for each time, and sent when it has changed. RFC 9111 §5.2.2.4
                .with_header("cache-control", "no-cache")
                .with_header("etag", &tag)
        })
    })
}

/// Differs when the content does. RFC 9110 §8.8.3
fn tag(content: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

/// Whether the client has it already. A proxy may have made the tag a weak one. RFC 9110 §13.1.2
fn is_known(request: &Request, tag: &str) -> bool {
    let tags = request.header("if-none-match").unwrap_or_default().split(',');
    tags.map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}
