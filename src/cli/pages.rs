//! The web app's files, inside the binary.

use switchboard::{Builder, Bytes, Response};

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

pub(crate) fn add(builder: Builder) -> Builder {
    FILES.iter().fold(builder, |builder, &(path, media_type, content)| {
        builder.get(path, move |_| {
            Response::new(media_type, Bytes::from_static(content))
                .with_header("content-security-policy", POLICY)
                .with_header("x-content-type-options", "nosniff")
                .with_header("referrer-policy", "no-referrer")
                .with_header("cache-control", "no-cache")
        })
    })
}
