//! Removes the code that hydrates views asynchronously. Leptos compiles the hydration of each view twice, at once and asynchronously;
//! the page hydrates at once (`src/ui/app.rs`), which the linker cannot know. What only that code uses is then left out, too.

use std::{collections::BTreeSet, error::Error, ops::Range};

use wasmparser::{BinaryReader, KnownCustom, Name, Parser, Payload, RelocSectionReader, TypeRef};

/// How the names of these functions end: a future's code, and the function that boxes an `AnyView`'s future. The compiler merges
/// functions of equal code under one of their names. Neither of these can equal a function of another purpose: a future's code
/// refers to its place in Leptos' source, and the boxing function to the future's code.
const ENDINGS: [&str; 2] = ["13hydrate_async28_$u7b$$u7b$closure$u7d$$u7d$", "8into_any13hydrate_async"];
/// What follows the path in a function's name: `17h`, 16 hexadecimal digits, `E`.
const HASH_LENGTH: usize = 20;

const UNREACHABLE: u8 = 0x00;
const NOP: u8 = 0x01;
const END: u8 = 0x0b;

/// Replaces the code of these functions by a trap of the same length, and removes its relocations.
pub fn remove(mut wasm: Vec<u8>) -> Result<Vec<u8>, Box<dyn Error>> {
    let file = File::parse(&wasm)?;
    let unused: Vec<_> = file.unused.iter().filter_map(|index| file.bodies.get(*index as usize).cloned()).collect();
    let (Some(relocations), false) = (file.relocations, unused.is_empty()) else {
        return Err("no asynchronous hydration, or no relocations: did the names change?".into());
    };
    let kept = kept_relocations(&wasm, &relocations, file.code_start, &unused)?;
    for body in unused {
        let code = &mut wasm[body];
        code.fill(NOP);
        // No local variables.
        code[0] = 0;
        code[1] = UNREACHABLE;
        code[code.len() - 1] = END;
    }
    wasm.splice(relocations.section, kept);
    Ok(wasm)
}

/// The parts of a WebAssembly file that are needed here.
#[derive(Default)]
struct File {
    /// Where the content of the code section begins.
    code_start: usize,
    /// Where each function's local variables and instructions are.
    bodies: Vec<Range<usize>>,
    /// The positions in `bodies` of the functions to remove.
    unused: BTreeSet<u32>,
    relocations: Option<Relocations>,
}

/// Where the relocations of the code section are.
#[derive(Clone)]
struct Relocations {
    /// With the section's kind and size.
    section: Range<usize>,
    content: Range<usize>,
}

impl File {
    fn parse(wasm: &[u8]) -> Result<Self, Box<dyn Error>> {
        let mut file = Self::default();
        let mut imported = 0;
        let mut end = 0;
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            let section = payload.as_section();
            match payload {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::CodeSectionStart { range, .. } => file.code_start = range.start as usize,
                Payload::CodeSectionEntry(body) => file.bodies.push(positions(body.range())),
                Payload::CustomSection(custom) if custom.name() == "reloc.CODE" => {
                    let all = positions(custom.range());
                    let content = all.end - custom.data().len()..all.end;
                    file.relocations = Some(Relocations { section: end..all.end, content });
                }
                Payload::CustomSection(custom) => {
                    if let KnownCustom::Name(names) = custom.as_known() {
                        file.find_unused(names, imported)?;
                    }
                }
                _ => {}
            }
            if let Some((_, range)) = section {
                end = range.end as usize;
            }
        }
        Ok(file)
    }

    fn find_unused(&mut self, names: wasmparser::NameSectionReader<'_>, imported: u32) -> Result<(), Box<dyn Error>> {
        for names in names {
            let Name::Function(functions) = names? else { continue };
            for function in functions {
                let function = function?;
                let path = &function.name[..function.name.len().saturating_sub(HASH_LENGTH)];
                if function.index >= imported && ENDINGS.iter().any(|ending| path.ends_with(ending)) {
                    self.unused.insert(function.index - imported);
                }
            }
        }
        Ok(())
    }
}

/// The section of relocations without those inside the removed code.
fn kept_relocations(
    wasm: &[u8],
    relocations: &Relocations,
    code_start: usize,
    removed: &[Range<usize>],
) -> Result<Vec<u8>, Box<dyn Error>> {
    let start = relocations.content.start;
    let content = &wasm[relocations.content.clone()];
    let reader = RelocSectionReader::new(BinaryReader::new(content, start as u64))?;
    let (mut count, mut entries) = (0, Vec::new());
    let mut all = reader.entries().into_iter_with_offsets().peekable();
    while let Some(entry) = all.next() {
        let (from, entry) = entry?;
        let to = match all.peek() {
            Some(Ok((next, _))) => *next as usize,
            _ => relocations.content.end,
        };
        let at = code_start + entry.offset as usize;
        // The ranges are in the order of the file.
        let after = removed.partition_point(|body| body.end <= at);
        if removed.get(after).is_none_or(|body| at < body.start) {
            count += 1;
            entries.extend_from_slice(&wasm[from as usize..to]);
        }
    }
    let mut content = leb128("reloc.CODE".len());
    content.extend_from_slice(b"reloc.CODE");
    content.extend(leb128(reader.section_index() as usize));
    content.extend(leb128(count));
    content.extend(entries);
    // 0 is the kind of all custom sections.
    let mut section = vec![0];
    section.extend(leb128(content.len()));
    section.extend(content);
    Ok(section)
}

/// Positions in a file that is in memory.
fn positions(range: Range<u64>) -> Range<usize> {
    range.start as usize..range.end as usize
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
