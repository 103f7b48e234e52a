//! An SQL expression as a list of tokens; comments, statements and whatever MySQL may read in two ways are refused.
//!
//! Owns: the tokens. Does not own: which words may be used (`expressions`, `functions`).

/// A token of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// A bare word: a keyword, a function or a column.
    Word(String),
    /// A name in backticks.
    Quoted(String),
    /// A number.
    Number,
    /// A string in single quotes.
    Text,
    /// Anything else, one character at a time.
    Symbol(char),
}

/// Cuts an expression into tokens, or says what cannot be in one.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        match c {
            c if c.is_whitespace() => at += 1,
            '\'' => {
                at = text_end(&chars, at)?;
                tokens.push(Token::Text);
            }
            '`' => {
                let (name, end) = quoted_name(&chars, at)?;
                tokens.push(Token::Quoted(name));
                at = end;
            }
            '-' if next == Some('-') => return Err("a comment (`--`) cannot be in an expression".into()),
            '/' if next == Some('*') => return Err("a comment (`/*`) cannot be in an expression".into()),
            '#' => return Err("a comment (`#`) cannot be in an expression".into()),
            ';' => return Err("a `;` cannot be in an expression".into()),
            '"' => return Err("a `\"` can begin a string or a name: write strings in single quotes".into()),
            '@' => {
                let name = chars[at..].iter().take_while(|&&c| is_word(c) || c == '@').collect::<String>();
                return Err(format!("the variable {name} is not deterministic: its value is the session's"));
            }
            '?' | ':' | '{' | '}' | '\\' | '[' | ']' | '$' => {
                return Err(format!("a `{c}` cannot be in an expression"));
            }
            c if c.is_control() => return Err("a control character cannot be in an expression".into()),
            c if c.is_ascii_digit()
                || (c == '.' && next.is_some_and(|c| c.is_ascii_digit()) && !after_name(&tokens)) =>
            {
                let (token, end) = number(&chars, at);
                tokens.push(token);
                at = end;
            }
            c if is_word(c) => {
                let end = word_end(&chars, at);
                tokens.push(Token::Word(chars[at..end].iter().collect()));
                at = end;
            }
            c => {
                tokens.push(Token::Symbol(c));
                at += 1;
            }
        }
    }
    balanced(&tokens)?;
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

fn word_end(chars: &[char], from: usize) -> usize {
    chars[from..].iter().position(|&c| !is_word(c)).map_or(chars.len(), |length| from + length)
}

fn after_name(tokens: &[Token]) -> bool {
    matches!(tokens.last(), Some(Token::Word(_) | Token::Quoted(_)))
}

/// The position after a string.
fn text_end(chars: &[char], from: usize) -> Result<usize, String> {
    let mut at = from + 1;
    while let Some(&c) = chars.get(at) {
        match (c, chars.get(at + 1)) {
            ('\'', Some('\'')) => at += 2,
            ('\'', _) => return Ok(at + 1),
            ('\\', Some('\'')) => return Err("write '' for a quote in a string, not \\'".into()),
            ('\\', Some(_)) => at += 2,
            _ => at += 1,
        }
    }
    Err("a string does not end".into())
}

fn quoted_name(chars: &[char], from: usize) -> Result<(String, usize), String> {
    let (mut name, mut at) = (String::new(), from + 1);
    while let Some(&c) = chars.get(at) {
        match (c, chars.get(at + 1)) {
            ('`', Some('`')) => {
                name.push('`');
                at += 2;
            }
            ('`', _) => return Ok((name, at + 1)),
            _ => {
                name.push(c);
                at += 1;
            }
        }
    }
    Err("a name in backticks does not end".into())
}

/// A number, or a word that begins with a digit.
fn number(chars: &[char], from: usize) -> (Token, usize) {
    let digits = |at: usize| chars[at..].iter().take_while(|c| c.is_ascii_digit()).count();
    let mut end = from + digits(from);
    let prefixed = chars[from] == '0' && matches!(chars.get(end), Some('x' | 'b'));
    if prefixed {
        return (Token::Number, word_end(chars, end));
    }
    if chars.get(end) == Some(&'.') {
        end += 1;
        end += digits(end);
    }
    if matches!(chars.get(end), Some('e' | 'E')) {
        let sign = usize::from(matches!(chars.get(end + 1), Some('+' | '-')));
        let length = if end + 1 + sign <= chars.len() { digits(end + 1 + sign) } else { 0 };
        if length > 0 {
            end += 1 + sign + length;
        }
    }
    let rest = word_end(chars, end);
    if rest > end { (Token::Word(chars[from..rest].iter().collect()), rest) } else { (Token::Number, end) }
}

/// An expression is put into a query in parentheses; it must not close them.
fn balanced(tokens: &[Token]) -> Result<(), String> {
    let mut open = 0_usize;
    for token in tokens {
        match token {
            Token::Symbol('(') => open += 1,
            Token::Symbol(')') => {
                open = open.checked_sub(1).ok_or("a `)` has no `(` before it")?;
            }
            _ => {}
        }
    }
    if open > 0 { Err("a `(` is not closed".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Token {
        Token::Word(text.to_string())
    }

    #[test]
    fn tokens_are_cut() {
        use Token::{Number, Symbol, Text};
        assert_eq!(
            tokens("YEAR(`a``b`) <> 1.5e-3").unwrap(),
            [word("YEAR"), Symbol('('), Token::Quoted("a`b".into()), Symbol(')'), Symbol('<'), Symbol('>'), Number]
        );
        assert_eq!(tokens("x'4D', .5 'it''s;--'").unwrap(), [word("x"), Text, Symbol(','), Number, Text]);
        assert_eq!(tokens("1a - 0xff").unwrap(), [word("1a"), Symbol('-'), Number]);
        assert_eq!(tokens("a.5").unwrap().len(), 3);
        assert_eq!(tokens("größe 1e").unwrap(), [word("größe"), word("1e")]);
    }

    #[test]
    fn what_could_smuggle_is_refused() {
        for (text, what) in [
            ("a -- b", "a comment (`--`) cannot be in an expression"),
            ("a /* b */", "a comment (`/*`) cannot be in an expression"),
            ("a # b", "a comment (`#`) cannot be in an expression"),
            ("a; DROP TABLE t", "a `;` cannot be in an expression"),
            ("\"a\"", "a `\"` can begin a string or a name: write strings in single quotes"),
            ("1 + @x", "the variable @x is not deterministic: its value is the session's"),
            ("@@server_id", "the variable @@server_id is not deterministic: its value is the session's"),
            ("a) OR (1", "a `)` has no `(` before it"),
            ("f(a", "a `(` is not closed"),
            ("'a", "a string does not end"),
            ("'a\\'", "write '' for a quote in a string, not \\'"),
            ("`a", "a name in backticks does not end"),
            ("a = ?", "a `?` cannot be in an expression"),
        ] {
            assert_eq!(tokens(text), Err(what.to_string()), "{text}");
        }
    }
}
