//! Rust sources as the rules of the house see them: code and comments apart, tests apart from the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// One file.
pub(crate) struct Source {
    /// From `src/` or `tests/` on, with `/`.
    pub(crate) path: String,
    pub(crate) lines: Vec<Line>,
    /// The first line of test code; the number of lines if there is none.
    pub(crate) tests_from: usize,
}

/// One line; what stands in strings is in neither part.
#[derive(Default)]
pub(crate) struct Line {
    pub(crate) code: String,
    pub(crate) comment: String,
}

/// An identifier, a number, `::` or one other character of code.
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let lines = Lexer::default().read(text);
        let tests_from = lines
            .windows(2)
            .position(|pair| pair[0].code.trim() == "#[cfg(test)]" && pair[1].code.contains("mod tests {"))
            .unwrap_or(lines.len());
        Self { path: path.to_owned(), lines, tests_from }
    }

    /// The top-level module: `wire` of `src/wire/frame.rs`, `name` of `src/name.rs`.
    pub(crate) fn module(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
    }

    /// Tokens of the code that is no test.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        tokens(&self.lines[..self.tests_from], 0)
    }

    /// Tokens of all code.
    pub(crate) fn all_tokens(&self) -> Vec<Token> {
        tokens(&self.lines, 0)
    }

    pub(crate) fn test_tokens(&self) -> Vec<Token> {
        tokens(&self.lines[self.tests_from..], self.tests_from)
    }

    /// Modules that this file declares for tests only, as the beginnings of their paths.
    fn test_modules(&self) -> Vec<String> {
        let home = match self.path.strip_suffix("/mod.rs").or_else(|| self.path.strip_suffix("/lib.rs")) {
            Some(home) => home.to_owned(),
            None => self.path.trim_end_matches(".rs").to_owned(),
        };
        let module = |line: &str| Some(line.trim().strip_suffix(';')?.rsplit_once("mod ")?.1.to_owned());
        let mut found = Vec::new();
        for pair in self.lines.windows(2) {
            if pair[0].code.trim() == "#[cfg(test)]"
                && let Some(name) = module(&pair[1].code)
            {
                found.push(format!("{home}/{name}"));
            }
        }
        found
    }
}

/// Every Rust file below a folder of the package, in order; files of modules that only tests have are all test.
pub(crate) fn read(folder: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    read_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), folder, &mut sources);
    let tests: BTreeSet<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        let is_below = |module: &String| {
            source.path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if folder != "src" || tests.iter().any(is_below) {
            source.tests_from = 0;
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn read_folder(folder: &Path, name: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let entry = entry.unwrap();
        let name = format!("{name}/{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            read_folder(&entry.path(), &name, sources);
        } else if name.ends_with(".rs") {
            sources.push(Source::new(&name, &fs::read_to_string(entry.path()).unwrap()));
        }
    }
}

fn tokens(lines: &[Line], first: usize) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (line, content) in lines.iter().enumerate() {
        let mut characters = content.code.chars().peekable();
        while let Some(c) = characters.next() {
            let mut text = c.to_string();
            if is_word(c) {
                while let Some(next) = characters.next_if(|next| is_word(*next)) {
                    text.push(next);
                }
            } else if c == ':' && characters.next_if_eq(&':').is_some() {
                text.push(':');
            } else if c.is_whitespace() {
                continue;
            }
            tokens.push(Token { line: first + line, text });
        }
    }
    tokens
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where the lexer is between two characters.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    /// A raw string that ends with this many `#`.
    RawText(usize),
}

#[derive(Default)]
struct Lexer {
    state: State,
    line: Line,
    lines: Vec<Line>,
}

impl Lexer {
    fn read(mut self, text: &str) -> Vec<Line> {
        let characters: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < characters.len() {
            at += self.step(&characters[at..]);
        }
        if characters.last().is_some_and(|last| *last != '\n') {
            self.end_line();
        }
        self.lines
    }

    fn end_line(&mut self) {
        self.lines.push(std::mem::take(&mut self.line));
        if self.state == State::LineComment {
            self.state = State::Code;
        }
    }

    /// Takes what stands at the start of `rest`; answers how many characters it was.
    fn step(&mut self, rest: &[char]) -> usize {
        let next = |at: usize| rest.get(at).copied().unwrap_or('\n');
        match (self.state, rest[0]) {
            (_, '\n') => self.end_line(),
            (State::Code, '/') if next(1) == '/' => self.state = State::LineComment,
            (State::Code, '/') if next(1) == '*' => self.state = State::BlockComment(1),
            (State::Code, '"') => self.state = State::Text,
            (State::Code, 'r') if raw_hashes(rest).is_some() && !self.line.code.ends_with(is_word) => {
                let hashes = raw_hashes(rest).unwrap_or(0);
                self.state = State::RawText(hashes);
                return hashes + 2;
            }
            (State::Code, '\'') => return self.take_quote(rest),
            (State::Code, c) => self.line.code.push(c),
            (State::LineComment, c) => self.line.comment.push(c),
            (State::BlockComment(depth), '*') if next(1) == '/' => {
                self.state = if depth == 1 { State::Code } else { State::BlockComment(depth - 1) };
                return 2;
            }
            (State::BlockComment(depth), '/') if next(1) == '*' => {
                self.state = State::BlockComment(depth + 1);
                return 2;
            }
            (State::BlockComment(_), c) => self.line.comment.push(c),
            (State::Text, '\\') if next(1) != '\n' => return 2,
            (State::Text, '"') => self.state = State::Code,
            (State::RawText(hashes), '"') if (1..=hashes).all(|at| next(at) == '#') => {
                self.state = State::Code;
                return hashes + 1;
            }
            (State::Text | State::RawText(_), _) => {}
        }
        1
    }

    /// A character literal, which is left out, or a lifetime, which is code.
    fn take_quote(&mut self, rest: &[char]) -> usize {
        if rest.get(1) == Some(&'\\') {
            // The quote that ends it is not the one that it may escape.
            return rest.iter().skip(3).position(|c| *c == '\'').map_or(1, |at| at + 4);
        }
        if rest.get(2) == Some(&'\'') {
            return 3;
        }
        self.line.code.push('\'');
        1
    }
}

/// How many `#` a raw string has that begins here.
fn raw_hashes(rest: &[char]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    (rest.get(hashes + 1) == Some(&'"')).then_some(hashes)
}
