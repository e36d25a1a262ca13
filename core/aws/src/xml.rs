//! The little of XML that STS speaks, read strictly.
//!
//! An answer is elements in one namespace with text inside. Comments, CDATA, processing
//! instructions, document types (and with them entities) and attributes have no place in it and
//! are refused, because each of them has been used to make two readers see two values.

use roxmltree::{Document, Node, ParsingOptions};

/// An answer of STS has about a dozen nodes.
const NODES_MAX: u32 = 256;

/// The document in `text`, or `None` where it is more or less than plain elements and text.
pub(crate) fn parse(text: &str) -> Option<Document<'_>> {
    let content = match text.trim_start_matches('\u{feff}').strip_prefix("<?xml ") {
        Some(declared) => declared.split_once("?>")?.1,
        None => text,
    };
    if content.contains("<!") || content.contains("<?") {
        return None;
    }
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).ok()?;
    let is_plain = document.descendants().all(|node| {
        node.is_root() || node.is_text() || (node.is_element() && !has_attributes(node))
    });
    is_plain.then_some(document)
}

fn has_attributes(node: Node<'_, '_>) -> bool {
    node.attributes().next().is_some()
}

/// The elements inside, or `None` where there is text between them.
pub(crate) fn elements<'a, 'input>(node: Node<'a, 'input>) -> Option<Vec<Node<'a, 'input>>> {
    let is_blank = |child: Node<'_, '_>| {
        child.text().is_some_and(|text| text.bytes().all(|byte| byte.is_ascii_whitespace()))
    };
    let pure = node.children().all(|child| child.is_element() || is_blank(child));
    pure.then(|| node.children().filter(Node::is_element).collect())
}

/// The one element of that name inside, or `None` where there is none or more.
pub(crate) fn only<'a, 'input>(
    node: Node<'a, 'input>,
    namespace: &str,
    name: &str,
) -> Option<Node<'a, 'input>> {
    let inside = elements(node)?;
    let mut named = inside.into_iter().filter(|child| child.tag_name().name() == name);
    let found = named.next()?;
    (named.next().is_none() && found.tag_name().namespace() == Some(namespace)).then_some(found)
}

/// The text inside, or `None` where there is anything else, or nothing.
pub(crate) fn text<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let mut children = node.children();
    let only = children.next()?;
    if children.next().is_some() || !only.is_text() {
        return None;
    }
    only.text()
}

#[cfg(test)]
mod tests;
