//! The frame of a page without plots: styles, policy, a header and a footer.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{STYLE, visible};
use crate::words;

/// A whole page around a body. No script: its policy forbids all.
pub(crate) fn page(title: &str, what: &str, when: &str, schism_version: &str, body: &Markup) -> String {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "schism " (schism_version) };
                title { (words::cut(title, 200)) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                header class="top" {
                    span class="brand" { "schism" }
                    span class="suite" { (words::cut(what, 200)) }
                    span class="dim when" { (words::cut(when, 60)) }
                }
                main { (body) }
                footer { "Made by schism " (schism_version) ". This page needs no network and asks for none." }
            }
        }
    };
    visible(&markup.into_string())
}
