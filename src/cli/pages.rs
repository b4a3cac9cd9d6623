//! The web app's files and the client for browsers, inside the binary.

use std::hash::{DefaultHasher, Hash, Hasher};
use switchboard::{Builder, Bytes, Request, Response};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Path, media type, content.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/", HTML, include_bytes!("../web/index.html")),
    ("/single_chat", HTML, include_bytes!("../web/single_chat.html")),
    ("/single_chat.css", CSS, include_bytes!("../web/single_chat.css")),
    ("/single_chat.js", JS, include_bytes!("../web/single_chat.js")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("../web/favicon.svg")),
    ("/style.css", CSS, include_bytes!("../web/style.css")),
    ("/chat.css", CSS, include_bytes!("../web/chat.css")),
    ("/lab.css", CSS, include_bytes!("../web/lab.css")),
    ("/theme.js", JS, include_bytes!("../web/theme.js")),
    ("/app.js", JS, include_bytes!("../web/app.js")),
    ("/client.js", JS, include_bytes!("../web/client.js")),
    ("/conversations.js", JS, include_bytes!("../web/conversations.js")),
    ("/conversation.js", JS, include_bytes!("../web/conversation.js")),
    ("/panels.js", JS, include_bytes!("../web/panels.js")),
    ("/session.js", JS, include_bytes!("../web/session.js")),
    ("/status.js", JS, include_bytes!("../web/status.js")),
    ("/dom.js", JS, include_bytes!("../web/dom.js")),
    ("/echo.js", JS, include_bytes!("../web/echo.js")),
    ("/anatomy.js", JS, include_bytes!("../web/anatomy.js")),
    ("/frames.js", JS, include_bytes!("../web/frames.js")),
    ("/i18n.js", JS, include_bytes!("../web/i18n.js")),
    ("/inspector.js", JS, include_bytes!("../web/inspector.js")),
    ("/log.js", JS, include_bytes!("../web/log.js")),
    ("/messages.js", JS, include_bytes!("../web/messages.js")),
    ("/people.js", JS, include_bytes!("../web/people.js")),
    ("/sidebar.js", JS, include_bytes!("../web/sidebar.js")),
    ("/store.js", JS, include_bytes!("../web/store.js")),
    ("/words.js", JS, include_bytes!("../web/words.js")),
    ("/words.zh.js", JS, include_bytes!("../web/words.zh.js")),
];

/// Only what this server itself serves, and no script or style inside a page. What people write cannot become HTML: with
/// Trusted Types a browser refuses to make any from a string.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

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
