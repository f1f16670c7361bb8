//! The frame of a page, and text made safe for it.

/// Text for element content and attribute values.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// JSON for a script element: nothing in it can end the element.
pub(crate) fn script_json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

/// Shared look: colours for light and dark, type, tables.
const STYLE: &str = include_str!("../assets/style.css");
/// The switch between light and dark.
const THEME: &str = include_str!("../assets/theme.js");

/// A whole page.
pub(crate) fn page(title: &str, body_class: &str, body: &str, script: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n<script>\n{THEME}</script>\n</head>\n\
         <body class=\"{body_class}\">\n{body}\n<script>\n{script}</script>\n</body>\n</html>\n",
        escape(title)
    )
}
