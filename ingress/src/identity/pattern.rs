//! Globs: `*` stands for any run of characters, also for none, and all else for itself.

/// A glob that is matched against whole texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern that is written like this; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// A pattern of names such as those of services and hosts.
    ///
    /// # Errors
    /// It is empty, or has characters that no such name has; half a sentence.
    pub fn of_names(text: &str) -> Result<Self, String> {
        let is_name_byte =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'*');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(is_name_byte) {
            return Err(format!(
                "{text:?} is not a name; give letters, digits, '.', '_', '-' and '*' for any run \
                 of them"
            ));
        }
        Ok(Self::new(text))
    }

    /// The pattern as written.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches everything.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether the whole of `text` is described. Parts between stars are taken where they come
    /// first, which leaves the most for those that follow, so that nothing is ever tried again:
    /// the time is linear in both lengths.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return *self.0 == *text;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        // The end is taken from what the beginning leaves, so that they cannot share a character.
        let between = text.strip_prefix(first).and_then(|text| text.strip_suffix(last));
        let Some(mut between) = between else {
            return false;
        };
        for part in middle.split('*') {
            let Some((_, behind)) = between.split_once(part) else {
                return false;
            };
            between = behind;
        }
        true
    }
}

/// The longest name that ECS has.
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
