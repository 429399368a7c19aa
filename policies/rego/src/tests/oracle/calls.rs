//! Every builtin and operator, and what it is given.

use super::pools::Slot::{self, *};

/// A call as it is written down, with `$0`, `$1` for its arguments.
pub(super) struct Call {
    /// The builtin, or the operator.
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) slots: &'static [Slot],
}

const fn call(name: &'static str, slots: &'static [Slot]) -> Call {
    Call { name, text: "", slots }
}

const fn operator(name: &'static str, text: &'static str, slots: &'static [Slot]) -> Call {
    Call { name, text, slots }
}

impl Call {
    /// With each argument where it stands.
    pub(super) fn with(&self, argument: impl Fn(usize) -> String) -> String {
        if self.text.is_empty() {
            let arguments: Vec<_> = (0..self.slots.len()).map(argument).collect();
            return format!("{}({})", self.name, arguments.join(", "));
        }
        (0..self.slots.len()).fold(self.text.to_owned(), |text, index| text.replace(&format!("${index}"), &argument(index)))
    }
}

pub(super) const OPERATORS: &[Call] = &[
    operator("%", "$0 % $1", &[Whole, Whole]),
    operator("floor of /", "floor($0 / $1)", &[Time, Time]),
    operator("+", "$0 + $1", &[Whole, Whole]),
    operator("*", "$0 * $1", &[Whole, Whole]),
    operator("-", "$0 - $1", &[Whole, Whole]),
    operator("ceil of /", "ceil($0 / $1)", &[Time, Time]),
    operator("round of /", "round($0 / $1)", &[Time, Time]),
    operator("walk", "{y | walk($0, y)}", &[Document]),
    operator("in", "[$0 in $1]", &[Any, Collection]),
    operator("some in", "[x | some x in $0]", &[Document]),
    operator("every", "[x | x := 1; every y in $0 { y != null }]", &[Collection]),
    operator("==", "$0 == $1", &[Any, Any]),
    operator("!=", "$0 != $1", &[Any, Any]),
    operator("<", "$0 < $1", &[Document, Document]),
    operator("<=", "$0 <= $1", &[Document, Document]),
    operator(">", "$0 > $1", &[Document, Document]),
    operator(">=", "$0 >= $1", &[Document, Document]),
    operator("== of numbers", "$0 == $1", &[Decimal, Decimal]),
    operator("< of numbers", "$0 < $1", &[Decimal, Decimal]),
    operator("< of strings", "$0 < $1", &[Text, Text]),
    operator("&", "$0 & $1", &[Set, Set]),
    operator("|", "$0 | $1", &[Set, Set]),
    operator("- of sets", "$0 - $1", &[Set, Set]),
    operator("[] by number", "$0[$1]", &[Array, Small]),
    operator("[] by name", "$0[$1]", &[Object, Word]),
];

pub(super) const BUILTINS: &[Call] = &[
    call("abs", &[Number]),
    call("array.concat", &[Array, Array]),
    call("array.reverse", &[Array]),
    call("array.slice", &[Array, Small, Small]),
    call("base64.decode", &[Base64]),
    call("base64.encode", &[Text]),
    call("base64url.decode", &[Base64]),
    call("base64url.encode", &[Text]),
    call("base64url.encode_no_pad", &[Text]),
    call("bits.and", &[Int, Int]),
    call("bits.lsh", &[Int, Shift]),
    call("bits.negate", &[Int]),
    call("bits.or", &[Int, Int]),
    call("bits.rsh", &[Int, Shift]),
    call("bits.xor", &[Int, Int]),
    call("ceil", &[Number]),
    call("concat", &[Letter, Texts]),
    call("contains", &[Text, Letter]),
    call("count", &[Collection]),
    call("endswith", &[Text, Letter]),
    call("floor", &[Number]),
    call("format_int", &[Number, Base]),
    call("glob.match", &[Glob, Delimiters, Globbed]),
    call("glob.quote_meta", &[Glob]),
    call("graph.reachable", &[Graph, Keys]),
    call("hex.decode", &[Hex]),
    call("hex.encode", &[Text]),
    call("indexof", &[Text, Letter]),
    call("indexof_n", &[Text, Letter]),
    call("intersection", &[Sets]),
    call("is_array", &[Any]),
    call("is_boolean", &[Any]),
    call("is_null", &[Any]),
    call("is_number", &[Any]),
    call("is_object", &[Any]),
    call("is_set", &[Any]),
    call("is_string", &[Any]),
    call("json.marshal", &[Any]),
    call("json.unmarshal", &[Json]),
    call("lower", &[Text]),
    call("max", &[Ordered]),
    call("min", &[Ordered]),
    call("net.cidr_contains", &[Cidr, Cidr]),
    call("net.cidr_is_valid", &[Cidr]),
    call("numbers.range", &[Near, Near]),
    call("numbers.range_step", &[Near, Near, Near]),
    call("object.filter", &[Object, Keys]),
    call("object.get", &[Object, Path, Any]),
    call("object.keys", &[Object]),
    call("object.remove", &[Object, Keys]),
    call("object.union", &[Object, Object]),
    call("object.union_n", &[Objects]),
    call("product", &[Numbers]),
    call("regex.find_n", &[Regex, Text, Small]),
    call("regex.match", &[Regex, Text]),
    call("regex.replace", &[Text, Regex, Text]),
    call("regex.split", &[Regex, Text]),
    call("replace", &[Text, Letter, Text]),
    call("round", &[Number]),
    call("semver.compare", &[Semver, Semver]),
    call("sort", &[Ordered]),
    call("split", &[Text, Letter]),
    call("sprintf", &[Verbs, Values]),
    call("startswith", &[Text, Letter]),
    call("strings.any_prefix_match", &[TextOrTexts, TextOrTexts]),
    call("strings.any_suffix_match", &[TextOrTexts, TextOrTexts]),
    call("strings.count", &[Text, Letter]),
    call("strings.reverse", &[Text]),
    call("substring", &[Text, Small, Small]),
    call("sum", &[Numbers]),
    call("time.clock", &[TimeZone]),
    call("time.date", &[TimeZone]),
    call("time.format", &[TimeZone]),
    call("time.parse_duration_ns", &[Duration]),
    call("time.parse_rfc3339_ns", &[Moment]),
    call("time.weekday", &[TimeZone]),
    call("to_number", &[Digits]),
    call("trim", &[Text, Letter]),
    call("trim_left", &[Text, Letter]),
    call("trim_prefix", &[Text, Letter]),
    call("trim_right", &[Text, Letter]),
    call("trim_space", &[Text]),
    call("trim_suffix", &[Text, Letter]),
    call("type_name", &[Any]),
    call("union", &[Sets]),
    call("units.parse", &[Units]),
    call("units.parse_bytes", &[Units]),
    call("upper", &[Text]),
];
