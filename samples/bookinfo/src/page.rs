//! The page as HTML: pure functions from what the services answered to text. All that comes from outside is escaped here.

use std::fmt::Write;

use crate::client::UpstreamError;
use crate::details::Details;
use crate::product::Product;
use crate::reviews::{Color, Rating, Review, Reviews};
use crate::session::User;

/// No rating is higher.
const MOST_STARS: u8 = 5;

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) product: &'a Product,
    pub(crate) user: Option<&'a User>,
    pub(crate) details: &'a Result<Details, UpstreamError>,
    pub(crate) reviews: &'a Result<Reviews, UpstreamError>,
    /// The productpage's own version and pod.
    pub(crate) version: &'a str,
    pub(crate) pod: &'a str,
}

// === impl Page ===

impl Page<'_> {
    pub(crate) fn html(&self) -> String {
        let author = self.details.as_ref().map(|details| details.author.as_str()).unwrap_or_default();
        format!(
            include_str!("page.html"),
            css = include_str!("page.css"),
            session = session(self.user),
            title = escape(self.product.title),
            author = escape(author),
            byline = self.details.as_ref().map(byline).unwrap_or_default(),
            description = escape(self.product.description),
            reviews = reviews_section(self.reviews),
            details = details_section(self.details),
            version = escape(self.version),
            pod = escape(self.pod),
            reviews_served_by = self.reviews.as_ref().map(served_by).unwrap_or_default(),
        )
    }
}

fn session(user: Option<&User>) -> String {
    match user {
        Some(user) => format!(
            r#"<div class="session"><span>Signed in as <b id="user">{}</b></span><a class="button" href="/logout">Sign out</a></div>"#,
            escape(user.name())
        ),
        None => concat!(
            r#"<form method="post" action="/login"><input name="username" aria-label="User name" placeholder="User name" "#,
            r#"maxlength="64" autocomplete="username" required><button type="submit">Sign in</button></form>"#
        )
        .to_owned(),
    }
}

fn byline(details: &Details) -> String {
    format!("{}, {}", escape(&details.author), details.year)
}

fn served_by(reviews: &Reviews) -> String {
    format!("<span>Reviews by <b>reviews {}</b> <code>{}</code></span>", escape(&reviews.version), escape(&reviews.podname))
}

fn details_section(details: &Result<Details, UpstreamError>) -> String {
    let details = match details {
        Ok(details) => details,
        Err(error) => return unavailable("details", "Details", "The book's details can't be shown right now", error),
    };
    let rows = [
        ("Type", details.binding.as_str()),
        ("Pages", &details.pages.to_string()),
        ("Publisher", &details.publisher),
        ("Language", &details.language),
        ("ISBN-10", &details.isbn_10),
        ("ISBN-13", &details.isbn_13),
    ];
    let mut html = String::from("<section class=\"card\" id=\"details\">\n<h2>Details</h2>\n<dl>\n");
    for (name, value) in rows {
        // Writing to a String can't fail.
        let _ = writeln!(html, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    }
    html + "</dl>\n</section>"
}

fn reviews_section(reviews: &Result<Reviews, UpstreamError>) -> String {
    let reviews = match reviews {
        Ok(reviews) => reviews,
        Err(error) => return unavailable("reviews", "Reviews", "The reviews can't be shown right now", error),
    };
    let mut html = format!(
        "<section class=\"card\" id=\"reviews\" data-reviews-version=\"{}\" data-reviews-pod=\"{}\">\n<h2>Reviews</h2>\n",
        escape(&reviews.version),
        escape(&reviews.podname)
    );
    for review in &reviews.reviews {
        html.push_str(&review_figure(review));
    }
    html + "</section>"
}

fn review_figure(review: &Review) -> String {
    let rating = match &review.rating {
        None => String::new(),
        Some(Rating::Given { stars, color }) => stars_span(*stars, *color),
        Some(Rating::Failed { error }) => {
            format!(r#"<span class="notice" data-unavailable="ratings" title="{}">No stars: ratings does not answer</span>"#, escape(error))
        }
    };
    format!(
        "<figure class=\"review\">\n<p>{}</p>\n<figcaption><span class=\"reviewer\">{}</span>{rating}</figcaption>\n</figure>\n",
        escape(&review.text),
        escape(&review.reviewer)
    )
}

/// Filled stars and empty ones up to five, with the number and the colour as data for programs that read the page.
fn stars_span(stars: u8, color: Color) -> String {
    let filled = stars.min(MOST_STARS);
    let glyphs = "★".repeat(filled.into()) + &"☆".repeat((MOST_STARS - filled).into());
    let color = color.name();
    format!(
        r#"<span class="stars" data-color="{color}" data-rating="{filled}" role="img" aria-label="{filled} of 5 {color} stars">{glyphs}</span>"#
    )
}

/// A section whose service failed: the rest of the page goes on without it.
fn unavailable(id: &str, heading: &str, sentence: &str, error: &UpstreamError) -> String {
    let status = error.status();
    format!(
        concat!(
            "<section class=\"card\" id=\"{id}\" data-unavailable=\"{id}\" data-status=\"{code}\">\n<h2>{heading}</h2>\n",
            "<p class=\"notice\">{sentence}: the {id} service failed with {status}.</p>\n</section>"
        ),
        id = id,
        code = status.as_u16(),
        heading = heading,
        sentence = sentence,
        status = escape(&status.to_string()),
    )
}

/// Text for HTML, between tags and in quoted attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::product::COMEDY_OF_ERRORS;

    const ATTACK: &str = "\"'><script>alert(1)</script>&{css}";

    #[test]
    fn nothing_from_outside_reaches_the_page_unescaped() {
        let user: User = ATTACK.parse().expect("valid");
        let rating = |rating| Review { reviewer: ATTACK.into(), text: ATTACK.into(), rating: Some(rating) };
        let reviews = Ok(Reviews {
            id: ATTACK.into(),
            podname: ATTACK.into(),
            clustername: ATTACK.into(),
            version: ATTACK.into(),
            reviews: vec![rating(Rating::Failed { error: ATTACK.into() }), rating(Rating::Given { stars: 255, color: Color::Red })],
        });
        let details = Ok(Details {
            id: 0,
            author: ATTACK.into(),
            year: -1,
            binding: ATTACK.into(),
            pages: 0,
            publisher: ATTACK.into(),
            language: ATTACK.into(),
            isbn_10: ATTACK.into(),
            isbn_13: ATTACK.into(),
        });
        let html =
            Page { product: &COMEDY_OF_ERRORS, user: Some(&user), details: &details, reviews: &reviews, version: ATTACK, pod: ATTACK }
                .html();
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("\"'>"), "{html}");
        // author twice, 5 details, user, 2 reviews of 2, an error, version and pod of reviews twice, of productpage thrice
        let escaped = escape(ATTACK);
        assert_eq!(html.matches(&escaped).count(), 20, "{html}");
    }

    #[test]
    fn stars_are_readable_by_people_and_programs() {
        let span = stars_span(4, Color::Red);
        assert!(span.contains("data-color=\"red\" data-rating=\"4\""), "{span}");
        assert!(span.ends_with(">★★★★☆</span>"), "{span}");
    }

    #[test]
    fn failed_services_leave_a_notice_with_their_status() {
        let details = Err(UpstreamError::Status(StatusCode::IM_A_TEAPOT));
        let html = details_section(&details);
        assert!(html.contains("data-unavailable=\"details\" data-status=\"418\""), "{html}");
    }
}
