//! Which functions have to stay `const`: those that a constant is made with, and those that these call.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};

/// What the files of the workspace say.
#[derive(Default)]
pub(crate) struct Constants {
    /// Words in the values of constants, and in functions that stay as they are.
    words: BTreeSet<String>,
    /// Functions that are `const` and may be changed, with the words in each.
    functions: Vec<(String, BTreeSet<String>)>,
    planted: bool,
}

impl Constants {
    /// Reads a file, of those that faults are planted in or of the others.
    pub(crate) fn read(&mut self, text: &str, planted: bool) -> syn::Result<()> {
        self.planted = planted;
        self.visit_file(&syn::parse_file(text)?);
        Ok(())
    }

    /// The names of all that must stay.
    pub(crate) fn names(mut self) -> BTreeSet<String> {
        loop {
            let before = self.words.len();
            for (name, words) in &self.functions {
                if self.words.contains(name) {
                    self.words.extend(words.iter().cloned());
                }
            }
            if self.words.len() == before {
                return self.words;
            }
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if signature.constness.is_none() {
            return;
        }
        let mut words = BTreeSet::new();
        collect(block.to_token_stream(), &mut words);
        if self.planted {
            self.functions.push((signature.ident.to_string(), words));
        } else {
            self.words.extend(words);
        }
    }
}

fn collect(tokens: TokenStream, words: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => drop(words.insert(ident.to_string())),
            TokenTree::Group(group) => collect(group.stream(), words),
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Constants {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        collect(item.to_token_stream(), &mut self.words);
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        collect(item.to_token_stream(), &mut self.words);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        collect(item.to_token_stream(), &mut self.words);
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        collect(array.len.to_token_stream(), &mut self.words);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}
