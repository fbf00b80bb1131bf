//! The text of a label selector.
//!
//! ```text
//!   selector    = [ requirement *( "," requirement ) ]
//!   requirement = "!" key | key | key ("=" | "==" | "!=" | ">" | "<") [ value ] | key ("in" | "notin") set
//!   set         = "(" [ value ] *( "," [ value ] ) ")"
//! ```
//!
//! White space separates; `in` and `notin` are operators only after a key.

use super::requirement::check_key;
use super::{Operator, Requirement, SelectorError, TERMS_MAX};
use crate::field::Path;

/// What an operator may be, in upstream's message.
const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

/// Reads all requirements, in the text's order.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        place: 0,
        terms: 0,
    };
    let mut requirements = Vec::new();
    loop {
        let token = parser.look();
        match token {
            Token::Word(_) | Token::Symbol("!") => {
                let requirement = parser.requirement().map_err(|error| {
                    SelectorError(format!("unable to parse requirement: {error}"))
                })?;
                parser.count()?;
                requirements.push(requirement);
                match parser.take() {
                    Token::End => return Ok(requirements),
                    Token::Symbol(",") => {
                        let next = parser.look();
                        if !matches!(next, Token::Word(_) | Token::Symbol("!")) {
                            return found(next, ", expected: identifier after ','");
                        }
                    }
                    other => return found(other, ", expected: ',' or 'end of string'"),
                }
            }
            Token::End => return Ok(requirements),
            other => return found(other, ", expected: !, identifier, or 'end of string'"),
        }
    }
}

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
    End,
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    place: usize,
    /// Requirements and values so far.
    terms: usize,
}

impl<'a> Parser<'a> {
    fn look(&self) -> Token<'a> {
        self.tokens.get(self.place).copied().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.look();
        self.place += 1;
        token
    }

    fn count(&mut self) -> Result<(), SelectorError> {
        self.terms += 1;
        if self.terms > TERMS_MAX {
            return Err(SelectorError::too_many_terms());
        }
        Ok(())
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut token = self.take();
        let absent = token == Token::Symbol("!");
        if absent {
            token = self.take();
        }
        let Token::Word(key) = token else {
            return found(token, ", expected: identifier");
        };
        if let Some(error) = check_key(&Path::none(), key) {
            return Err(SelectorError(error.to_string()));
        }
        let alone = matches!(self.look(), Token::End | Token::Symbol(","));
        let (operator, values) = if absent {
            (Operator::DoesNotExist, Vec::new())
        } else if alone {
            (Operator::Exists, Vec::new())
        } else {
            let operator = self.operator()?;
            let values = match operator {
                Operator::In | Operator::NotIn => self.set()?,
                _ => vec![self.value()?],
            };
            (operator, values)
        };
        Requirement::new(key, operator, &values)
            .map_err(|errors| SelectorError(errors.message().unwrap_or_default()))
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        match self.take() {
            Token::Word("in") => Ok(Operator::In),
            Token::Word("notin") => Ok(Operator::NotIn),
            Token::Symbol("=") => Ok(Operator::Equals),
            Token::Symbol("==") => Ok(Operator::DoubleEquals),
            Token::Symbol("!=") => Ok(Operator::NotEquals),
            Token::Symbol(">") => Ok(Operator::GreaterThan),
            Token::Symbol("<") => Ok(Operator::LessThan),
            other => found(other, &format!(", expected: {OPERATORS}")),
        }
    }

    /// The one value of an exact match; none at all is the empty one.
    fn value(&mut self) -> Result<&'a str, SelectorError> {
        if matches!(self.look(), Token::End | Token::Symbol(",")) {
            return Ok("");
        }
        match self.take() {
            Token::Word(value) => Ok(value),
            other => found(other, ", expected: identifier"),
        }
    }

    /// Values in brackets, in order and without repetitions: `(,a)` has the empty one too.
    fn set(&mut self) -> Result<Vec<&'a str>, SelectorError> {
        let open = self.take();
        if open != Token::Symbol("(") {
            return found(open, " expected: '('");
        }
        let first = self.look();
        if !matches!(first, Token::Word(_) | Token::Symbol("," | ")")) {
            return found(first, ", expected: ',', ')' or identifier");
        }
        let mut values = Vec::new();
        loop {
            self.count()?;
            match self.look() {
                Token::Word(value) => {
                    self.place += 1;
                    values.push(value);
                }
                Token::Symbol("," | ")") => values.push(""),
                other => return found(other, ", expected: ',', or identifier"),
            }
            match self.take() {
                Token::Symbol(",") => {}
                Token::Symbol(")") => break,
                other => return found(other, ", expected: ',' or ')'"),
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

fn found<T>(token: Token<'_>, expected: &str) -> Result<T, SelectorError> {
    let text = match token {
        Token::Word(text) | Token::Symbol(text) => text,
        Token::End => "",
    };
    Err(SelectorError(format!("found '{text}'{expected}")))
}

/// Cuts the text into words and symbols.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, SelectorError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(is_space);
        // Each term has its key, operator, comma and value.
        if tokens.len() > 4 * TERMS_MAX {
            return Err(SelectorError::too_many_terms());
        }
        if rest.is_empty() {
            return Ok(tokens);
        }
        let (token, after) = if rest.starts_with(is_special) {
            let double = rest.starts_with("==") || rest.starts_with("!=");
            let (symbol, after) = rest.split_at(if double { 2 } else { 1 });
            (Token::Symbol(symbol), after)
        } else {
            let end = rest.find(|c: char| is_space(c) || is_special(c));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            (Token::Word(word), after)
        };
        tokens.push(token);
        rest = after;
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}
