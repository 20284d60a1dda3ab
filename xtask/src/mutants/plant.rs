//! Faults in source code: each place where one can be gets all of them at once, and which one is there is asked at run
//! time. So all are built together, and each costs no more than a run of the tests.

use std::collections::BTreeSet;

use quote::{ToTokens, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, BinOp, Block, Expr, Pat, ReturnType, Type, UnOp, parse_quote};

/// A fault that can be switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file, from the workspace on.
    pub(crate) file: String,
    /// The function it is in.
    pub(crate) function: String,
    /// What is there, and what would be.
    pub(crate) what: String,
}

/// Plants faults into one file after the other.
pub(crate) struct Planter {
    /// All so far; a fault's number is its place, from 1 on.
    pub(crate) faults: Vec<Fault>,
    /// Functions that have to stay `const`, and so cannot ask which fault is there.
    pub(crate) constant: BTreeSet<String>,
    file: String,
    function: Vec<String>,
}

impl Planter {
    pub(crate) fn new(constant: BTreeSet<String>) -> Self {
        Self {
            faults: Vec::new(),
            constant,
            file: String::new(),
            function: Vec::new(),
        }
    }

    /// The text of a file with its faults.
    pub(crate) fn plant(&mut self, file: &str, text: &str) -> syn::Result<String> {
        let mut tree = syn::parse_file(text)?;
        file.clone_into(&mut self.file);
        self.visit_file_mut(&mut tree);
        Ok(tree.to_token_stream().to_string())
    }

    /// Notes a fault; the expression that asks for it.
    fn fault(&mut self, what: String) -> Expr {
        let function = self.function.last().cloned().unwrap_or_default();
        let file = self.file.clone();
        self.faults.push(Fault {
            file,
            function,
            what,
        });
        let number = self.faults.len() as u32;
        parse_quote!(crate::planted::is(#number))
    }

    /// Instead of an expression, others.
    fn or(&mut self, was: &str, whole: &mut Expr, others: Vec<Expr>) {
        let mut all = quote!(#whole);
        for other in others {
            let asked = self.fault(format!("{was} -> {}", words(&other)));
            all = quote!(if #asked { #other } else { #all });
        }
        // In parentheses, so that it is an expression wherever one was.
        *whole = parse_quote!((#all));
    }

    /// Where a body begins: what the function could give back without doing anything.
    fn body(&mut self, output: &ReturnType, block: &mut Block) {
        for value in values(output).into_iter().rev() {
            let asked = self.fault(format!("{{ … }} -> {}", words(&value)));
            block
                .stmts
                .insert(0, parse_quote!(if #asked { return #value; }));
        }
    }

    /// True if faults can be planted in a function of this signature.
    fn enter(&mut self, signature: &mut syn::Signature, attributes: &[Attribute]) -> bool {
        let name = signature.ident.to_string();
        if is_test(attributes) || self.constant.contains(&name) && signature.constness.is_some() {
            return false;
        }
        signature.constness = None;
        self.function.push(name);
        true
    }
}

impl VisitMut for Planter {
    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if !is_test(&module.attrs) {
            visit_mut::visit_item_mod_mut(self, module);
        }
    }

    fn visit_item_fn_mut(&mut self, function: &mut syn::ItemFn) {
        if self.enter(&mut function.sig, &function.attrs) {
            visit_mut::visit_block_mut(self, &mut function.block);
            self.body(&function.sig.output, &mut function.block);
            self.function.pop();
        }
    }

    fn visit_impl_item_fn_mut(&mut self, function: &mut syn::ImplItemFn) {
        if self.enter(&mut function.sig, &function.attrs) {
            visit_mut::visit_block_mut(self, &mut function.block);
            self.body(&function.sig.output, &mut function.block);
            self.function.pop();
        }
    }

    // Numbers of the compiler's, not the program's.
    fn visit_item_const_mut(&mut self, _: &mut syn::ItemConst) {}
    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_item_static_mut(&mut self, _: &mut syn::ItemStatic) {}
    fn visit_item_enum_mut(&mut self, _: &mut syn::ItemEnum) {}
    fn visit_type_mut(&mut self, _: &mut Type) {}
    fn visit_generic_argument_mut(&mut self, _: &mut syn::GenericArgument) {}

    fn visit_expr_repeat_mut(&mut self, repeat: &mut syn::ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        if let Expr::Binary(binary) = expr {
            enclosed(binary);
        }
        let others = match &*expr {
            Expr::Binary(binary) if !binds(&binary.left) && !binds(&binary.right) => {
                operators(&binary.op)
                    .into_iter()
                    .map(|op| exchanged(binary, op))
                    .collect()
            }
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => vec![*unary.expr.clone()],
            _ => Vec::new(),
        };
        let was = words(expr);
        visit_mut::visit_expr_mut(self, expr);
        if !others.is_empty() {
            self.or(&was, expr, others);
        }
    }

    fn visit_expr_match_mut(&mut self, found: &mut syn::ExprMatch) {
        let caught = matches!(found.arms.last(), Some(arm) if arm.guard.is_none() && matches!(arm.pat, Pat::Wild(_)));
        let last = found.arms.len().saturating_sub(1);
        visit_mut::visit_expr_match_mut(self, found);
        for (place, arm) in found.arms.iter_mut().enumerate() {
            let pattern = words(&arm.pat);
            if let Some((_, guard)) = &mut arm.guard {
                let asked =
                    [true, false].map(|to| (to, self.fault(format!("{pattern} if … -> if {to}"))));
                let [(_, yes), (_, no)] = asked;
                **guard = parse_quote!(if #yes { true } else if #no { false } else { #guard });
            } else if caught && place != last {
                let asked = self.fault(format!("{pattern} => … is left out"));
                arm.guard = Some((Default::default(), Box::new(parse_quote!(!#asked))));
            }
        }
    }
}

/// Is there a pattern in it, as in `if let`? Then it must stay where it is.
fn binds(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => binds(&binary.left) || binds(&binary.right),
        _ => false,
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && words(&attribute.meta).contains("test")
    })
}

/// What follows a cast would be read as part of its type, and what follows a block as another statement.
fn enclosed(binary: &mut syn::ExprBinary) {
    let left = &*binary.left;
    if matches!(
        left,
        Expr::Cast(_) | Expr::If(_) | Expr::Match(_) | Expr::Block(_)
    ) {
        *binary.left = parse_quote!((#left));
    }
}

/// With another operator.
fn exchanged(binary: &syn::ExprBinary, op: BinOp) -> Expr {
    Expr::Binary(syn::ExprBinary {
        op,
        ..binary.clone()
    })
}

/// Operators that may stand in the place of one.
fn operators(op: &BinOp) -> Vec<BinOp> {
    match op {
        BinOp::Eq(_) => vec![parse_quote!(!=)],
        BinOp::Ne(_) => vec![parse_quote!(==)],
        BinOp::Lt(_) => vec![parse_quote!(<=), parse_quote!(>)],
        BinOp::Le(_) => vec![parse_quote!(<), parse_quote!(>)],
        BinOp::Gt(_) => vec![parse_quote!(>=), parse_quote!(<)],
        BinOp::Ge(_) => vec![parse_quote!(>), parse_quote!(<)],
        BinOp::And(_) => vec![parse_quote!(||)],
        BinOp::Or(_) => vec![parse_quote!(&&)],
        BinOp::Add(_) => vec![parse_quote!(-), parse_quote!(*)],
        BinOp::Sub(_) | BinOp::Mul(_) => vec![parse_quote!(+), parse_quote!(/)],
        BinOp::Div(_) | BinOp::Rem(_) => vec![parse_quote!(*), parse_quote!(+)],
        BinOp::BitAnd(_) => vec![parse_quote!(|), parse_quote!(^)],
        BinOp::BitOr(_) | BinOp::BitXor(_) => vec![parse_quote!(&), parse_quote!(^)],
        BinOp::Shl(_) => vec![parse_quote!(>>)],
        BinOp::Shr(_) => vec![parse_quote!(<<)],
        BinOp::AddAssign(_) => vec![parse_quote!(-=), parse_quote!(*=)],
        BinOp::SubAssign(_) | BinOp::MulAssign(_) => vec![parse_quote!(+=)],
        BinOp::BitAndAssign(_) => vec![parse_quote!(|=)],
        BinOp::BitOrAssign(_) => vec![parse_quote!(&=), parse_quote!(^=)],
        _ => Vec::new(),
    }
}

/// What a function of this type could give back without looking at anything.
fn values(output: &ReturnType) -> Vec<Expr> {
    let ReturnType::Type(_, kind) = output else {
        return vec![parse_quote!(())];
    };
    match words(kind).as_str() {
        "bool" => vec![parse_quote!(true), parse_quote!(false)],
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i32" | "i64" => {
            vec![parse_quote!(0), parse_quote!(1)]
        }
        "&'static str" => vec![parse_quote!("")],
        kind if kind.starts_with("Option<") => vec![parse_quote!(None)],
        kind if kind.starts_with("Result<(),") => vec![parse_quote!(Ok(()))],
        _ => Vec::new(),
    }
}

/// As people write it, more or less.
pub(crate) fn words(code: &impl ToTokens) -> String {
    let mut text = code.to_token_stream().to_string();
    for (from, to) in [
        (" . ", "."),
        (" :: ", "::"),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" ,", ","),
        (" < ", "<"),
        (" >", ">"),
        ("& ", "&"),
        ("! ", "!"),
        (" ;", ";"),
    ] {
        text = text.replace(from, to);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(text: &str) -> (String, Vec<String>) {
        let mut planter = Planter::new(["kept".to_owned()].into());
        let text = planter.plant("a.rs", text).unwrap();
        let what = planter.faults.into_iter().map(|fault| fault.what);
        (text, what.collect())
    }

    #[test]
    fn an_operator_is_exchanged_where_it_is_asked_for() {
        let (text, what) = planted("fn f(a: u8, b: u8) -> bool { a == b }");
        assert_eq!(
            what,
            ["a == b -> a != b", "{ … } -> false", "{ … } -> true"]
        );
        assert!(syn::parse_file(&text).is_ok(), "{text}");
        assert!(text.contains("planted :: is (1u32)"), "{text}");
    }

    #[test]
    fn patterns_stay_where_they_are() {
        let (text, what) = planted("fn f() { if let Some(x) = y && x > 1 && z {} }");
        assert_eq!(what, ["x> 1 -> x>= 1", "x> 1 -> x<1", "{ … } -> ()"]);
        assert!(syn::parse_file(&text).is_ok(), "{text}");
    }

    #[test]
    fn arms_are_left_out_where_another_catches_them() {
        let (_, what) = planted("fn f() { match x { 1 => {} 2 if y => {} _ => {} } }");
        let wanted = [
            "1 => … is left out",
            "2 if … -> if true",
            "2 if … -> if false",
            "{ … } -> ()",
        ];
        assert_eq!(what, wanted);
    }

    #[test]
    fn tests_and_constants_are_left_alone() {
        let text = "const A: u8 = 1 + 2; #[cfg(test)] mod tests { fn f() -> bool { 1 == 2 } } const fn kept() -> bool { !true } const fn other() {}";
        let (text, what) = planted(text);
        assert_eq!(what, ["{ … } -> ()"]);
        assert!(text.contains("const fn kept") && !text.contains("const fn other"));
    }
}
