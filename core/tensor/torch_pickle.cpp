#include "core/tensor/torch_pickle.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <unordered_map>

#include "core/base/error.hpp"
#include "core/base/utf8.hpp"

namespace graft::core::torch {
namespace {

using Index = std::uint32_t;  // of a value, in the order in which they are made

constexpr std::size_t kMaxPickle = std::size_t{1} << 24, kMaxValues = std::size_t{1} << 20;

enum class Kind { none, boolean, integer, text, tuple, list, dict, global, storage, tensor };
constexpr const char* kind_names[] = {"None",   "a boolean", "a number", "text",      "a tuple",
                                      "a list", "a dict",    "a global", "a storage", "a tensor"};

enum class Global { ordered_dict, rebuild_tensor, rebuild_parameter, storage };

/// Values refer to others by number, so a pickle that puts a thing into itself makes nothing endless:
/// nothing here follows such numbers deeper than a tensor's arguments.
struct Value {
  Kind kind = Kind::none;
  std::int64_t number = 0;  // also of the global, the tensor
  std::string_view text;
  std::vector<Index> items;  // of a dict: key, value, key, value
  const safetensors::Type* type = nullptr;
};

const safetensors::Type* storage_type(std::string_view name) {
  struct Known {
    std::string_view name, type;
  };
  static constexpr Known known[] = {{"FloatStorage", "F32"},     {"HalfStorage", "F16"},
                                    {"BFloat16Storage", "BF16"}, {"DoubleStorage", "F64"},
                                    {"LongStorage", "I64"},      {"IntStorage", "I32"},
                                    {"ShortStorage", "I16"},     {"CharStorage", "I8"},
                                    {"ByteStorage", "U8"},       {"BoolStorage", "BOOL"}};
  for (const Known& k : known) {
    if (k.name == name) return safetensors::find_type(k.type);
  }
  return nullptr;
}

class Machine {
 public:
  Machine(std::string_view pickle, std::string_view who) : bytes_(pickle), who_(who) {}

  std::vector<PickledTensor> run() {
    while (!done_) step();
    if (at_ != bytes_.size()) refuse("there are bytes behind its end");
    return result();
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw Error(GRAFT_E_INVALID, cat(who_, ": at byte ", op_at_, " of its pickle ", parts..., "."));
  }

  std::string_view take(std::uint64_t n) {
    if (n > bytes_.size() - at_) refuse("it is cut off");
    const std::string_view part = bytes_.substr(at_, n);
    at_ += n;
    return part;
  }
  template <class Number>
  Number number() {
    Number value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view line() {
    const std::size_t end = bytes_.substr(at_).find('\n');
    if (end == bytes_.npos) refuse("it is cut off");
    const std::string_view text = take(end);
    take(1);
    return text;
  }

  Index make(Value value) {
    if (values_.size() == kMaxValues) refuse("it makes more than ", kMaxValues, " values");
    values_.push_back(std::move(value));
    return static_cast<Index>(values_.size() - 1);
  }
  void push(Value value) { stack_.push_back(make(std::move(value))); }
  void push_number(std::int64_t value) { push({Kind::integer, value, {}, {}, nullptr}); }
  void push_text(std::string_view text) { push({Kind::text, 0, text, {}, nullptr}); }
  void push_items(Kind kind, std::vector<Index> items) {
    push({kind, 0, {}, std::move(items), nullptr});
  }

  std::size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }
  Index pop() {
    if (stack_.size() <= bottom()) refuse("a value is taken where there is none");
    const Index top = stack_.back();
    stack_.pop_back();
    return top;
  }
  Index top() {
    if (stack_.size() <= bottom()) refuse("a value is asked for where there is none");
    return stack_.back();
  }
  std::vector<Index> pop_items(std::size_t n) {
    std::vector<Index> items(n);
    for (std::size_t i = n; i-- > 0;) items[i] = pop();
    return items;
  }
  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) refuse("a mark is asked for where there is none");
    std::vector<Index> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                             stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  Value& top_of(Kind kind) {
    Value& value = values_[top()];
    if (value.kind != kind) {
      refuse(name_of(kind), " is expected, not ", name_of(value.kind));
    }
    return value;
  }
  static const char* name_of(Kind kind) { return kind_names[static_cast<int>(kind)]; }

  void extend(Kind kind, const std::vector<Index>& items) {
    if (kind == Kind::dict && items.size() % 2 != 0) refuse("a key has no value");
    Value& to = top_of(kind);
    to.items.insert(to.items.end(), items.begin(), items.end());
  }

  void memoize(std::uint64_t place) { memo_[place] = top(); }
  void recall(std::uint64_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end())
      refuse("what it has kept as ", place, " is asked for, which is nothing");
    stack_.push_back(found->second);
  }

  void push_global(std::string_view module, std::string_view name) {
    Value value{Kind::global, 0, name, {}, nullptr};
    const auto is = [&](Global which) { value.number = static_cast<std::int64_t>(which); };
    if (module == "collections" && name == "OrderedDict") {
      is(Global::ordered_dict);
    } else if (module == "torch._utils" && name == "_rebuild_tensor_v2") {
      is(Global::rebuild_tensor);
    } else if (module == "torch._utils" && name == "_rebuild_parameter") {
      is(Global::rebuild_parameter);
    } else if (const auto* type = module == "torch" ? storage_type(name) : nullptr) {
      is(Global::storage);
      value.type = type;
    } else {
      refuse("it asks for '", printable(module), ".", printable(name),
             "', which a dict of tensors does not need; nothing was executed");
    }
    push(std::move(value));
  }

  static std::string printable(std::string_view text) {
    std::string out(text.substr(0, 80));
    for (char& c : out) {
      if (c < ' ' || c > '~') c = '?';
    }
    return out;
  }

  // ---- what may be called: it is known what comes of it -----------------------------------------

  const Value& argument(const std::vector<Index>& items, std::size_t i, Kind kind) const {
    const Value& value = values_[items[i]];
    if (value.kind != kind) {
      refuse("argument ", i, " is ", name_of(value.kind), "; ", name_of(kind), " is expected");
    }
    return value;
  }

  /// ("storage", torch.FloatStorage, key, device, elements)
  void persistent() {
    const Value& id = values_[pop()];
    if (id.kind != Kind::tuple || id.items.size() != 5) {
      refuse("a persistent id is no description of a storage");
    }
    const Value& global = argument(id.items, 1, Kind::global);
    if (argument(id.items, 0, Kind::text).text != "storage" || !global.type) {
      refuse("a persistent id is no description of a storage");
    }
    argument(id.items, 3, Kind::text);
    const std::int64_t elements = argument(id.items, 4, Kind::integer).number;
    if (elements < 0) refuse("a storage has ", elements, " elements");
    push({Kind::storage, elements, argument(id.items, 2, Kind::text).text, {}, global.type});
  }

  safetensors::Extents extents(const std::vector<Index>& items, std::size_t i) const {
    const Value& tuple = argument(items, i, Kind::tuple);
    if (tuple.items.size() > safetensors::max_rank) refuse("a tensor has more than 8 axes");
    safetensors::Extents out;
    for (std::size_t k = 0; k < tuple.items.size(); ++k) {
      out.push_back(argument(tuple.items, k, Kind::integer).number);
      if (out.back() < 0) refuse("a tensor has the extent or stride ", out.back());
    }
    return out;
  }

  void reduce() {
    const Value& arguments = values_[pop()];
    const Value& global = values_[pop()];
    if (global.kind != Kind::global || arguments.kind != Kind::tuple) {
      refuse("something is called that is no function, or with no tuple");
    }
    const std::vector<Index>& items = arguments.items;
    const auto which = static_cast<Global>(global.number);
    if (which == Global::ordered_dict && items.empty()) return push_items(Kind::dict, {});
    if (which == Global::rebuild_parameter && items.size() == 3) {
      argument(items, 0, Kind::tensor);
      stack_.push_back(items[0]);
      return;
    }
    // storage, offset, shape, strides, requires_grad, hooks[, metadata]
    if (which != Global::rebuild_tensor || items.size() < 6 || items.size() > 7) {
      refuse("'", global.text, "' is called with ", items.size(), " arguments");
    }
    const Value& storage = argument(items, 0, Kind::storage);
    PickledTensor t;
    t.storage = storage.text;
    t.type = storage.type;
    t.storage_elements = storage.number;
    t.offset = argument(items, 1, Kind::integer).number;
    t.shape = extents(items, 2);
    t.strides = extents(items, 3);
    if (t.shape.size() != t.strides.size())
      refuse("a tensor has another number of strides than axes");
    if (!inside(t)) refuse("a tensor reaches beyond its storage, or is larger than that");
    tensors_.push_back(std::move(t));
    push({Kind::tensor, static_cast<std::int64_t>(tensors_.size() - 1), {}, {}, nullptr});
  }

  /// Whether all elements lie in the storage, and are not more than those: a stride of 0 would make
  /// a small file any size.
  static bool inside(const PickledTensor& t) {
    std::int64_t count = 1, last = t.offset;
    for (std::size_t i = 0; i < t.shape.size(); ++i) {
      if (t.shape[i] == 0) return t.offset >= 0 && t.offset <= t.storage_elements;
    }
    for (std::size_t i = 0; i < t.shape.size(); ++i) {
      std::int64_t reach = 0;
      if (__builtin_mul_overflow(count, t.shape[i], &count) ||
          __builtin_mul_overflow(t.shape[i] - 1, t.strides[i], &reach) ||
          __builtin_add_overflow(last, reach, &last)) {
        return false;
      }
    }
    return t.offset >= 0 && last < t.storage_elements && count <= t.storage_elements;
  }

  /// OrderedDict's state: {"_metadata": ..}, which says nothing of the tensors.
  void build() {
    pop();
    top_of(Kind::dict);
  }

  std::int64_t long_integer() {
    const std::string_view digits = take(number<std::uint8_t>());
    if (digits.size() > 8) refuse("a number has ", digits.size(), " bytes");
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(digits[i])} << (8 * i);
    }
    const std::size_t bits = 8 * digits.size();
    if (bits > 0 && bits < 64 && (value >> (bits - 1)) != 0) value |= ~std::uint64_t{0} << bits;
    std::int64_t result = 0;
    std::memcpy(&result, &value, sizeof result);
    return result;
  }

  void protocol() {
    const auto version = number<std::uint8_t>();
    if (version < 2 || version > 5) {
      refuse("it says that it has protocol ", int{version}, "; 2 to 5 are read");
    }
  }

  void step() {
    op_at_ = at_;
    const auto op = number<std::uint8_t>();
    switch (op) {
      case 0x80:  // PROTO
        return protocol();
      case 0x95:  // FRAME
        return static_cast<void>(number<std::uint64_t>());
      case '.':  // STOP
        done_ = true;
        return;
      case '(':  // MARK
        return marks_.push_back(stack_.size());
      case 'N':
        return push({});
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
        return push({Kind::boolean, op == 0x88 ? 1 : 0, {}, {}, nullptr});
      case 'J':  // BININT
        return push_number(number<std::int32_t>());
      case 'K':  // BININT1
        return push_number(number<std::uint8_t>());
      case 'M':  // BININT2
        return push_number(number<std::uint16_t>());
      case 0x8a:  // LONG1
        return push_number(long_integer());
      case 'X':  // BINUNICODE
        return push_text(take(number<std::uint32_t>()));
      case 0x8c:  // SHORT_BINUNICODE
        return push_text(take(number<std::uint8_t>()));
      case '}':  // EMPTY_DICT
        return push_items(Kind::dict, {});
      case ']':  // EMPTY_LIST
        return push_items(Kind::list, {});
      case ')':  // EMPTY_TUPLE
        return push_items(Kind::tuple, {});
      case 't':  // TUPLE
        return push_items(Kind::tuple, pop_to_mark());
      case 0x85:  // TUPLE1
      case 0x86:
      case 0x87:
        return push_items(Kind::tuple, pop_items(op - 0x84u));
      case 'a':  // APPEND
        return extend(Kind::list, pop_items(1));
      case 'e':  // APPENDS
        return extend(Kind::list, pop_to_mark());
      case 's':  // SETITEM
        return extend(Kind::dict, pop_items(2));
      case 'u':  // SETITEMS
        return extend(Kind::dict, pop_to_mark());
      case 'q':  // BINPUT
        return memoize(number<std::uint8_t>());
      case 'r':  // LONG_BINPUT
        return memoize(number<std::uint32_t>());
      case 0x94:  // MEMOIZE
        return memoize(memo_.size());
      case 'h':  // BINGET
        return recall(number<std::uint8_t>());
      case 'j':  // LONG_BINGET
        return recall(number<std::uint32_t>());
      case 'c': {  // GLOBAL
        const std::string_view module = line();
        return push_global(module, line());
      }
      case 0x93: {  // STACK_GLOBAL
        const std::vector<Index> items = pop_items(2);
        return push_global(argument(items, 0, Kind::text).text,
                           argument(items, 1, Kind::text).text);
      }
      case 'Q':  // BINPERSID
        return persistent();
      case 'R':  // REDUCE
        return reduce();
      case 'b':  // BUILD
        return build();
      default:
        refuse("there is the opcode 0x", hex(op), ", which a dict of tensors does not need");
    }
  }

  static std::string hex(unsigned value) {
    constexpr const char* digits = "0123456789abcdef";
    return {digits[value >> 4], digits[value & 15]};
  }

  std::vector<PickledTensor> result() {
    if (stack_.size() != 1 || !marks_.empty()) refuse("it ends with more or less than one value");
    const Value& dict = top_of(Kind::dict);
    std::vector<PickledTensor> out;
    for (std::size_t i = 0; i < dict.items.size(); i += 2) {
      const Value& key = values_[dict.items[i]];
      const Value& value = values_[dict.items[i + 1]];
      if (key.kind != Kind::text) refuse("a key of its dict is ", name_of(key.kind), ", not text");
      if (key.text.size() > safetensors::max_name || !is_utf8(key.text)) {
        refuse("a key of its dict is no name of a tensor");
      }
      if (value.kind != Kind::tensor) {
        refuse("'", printable(key.text), "' is ", name_of(value.kind), ", not a tensor");
      }
      out.push_back(tensors_[static_cast<std::size_t>(value.number)]);
      out.back().name = key.text;
    }
    return out;
  }

  static bool is_utf8(std::string_view text) {
    while (!text.empty()) {
      const std::size_t n = utf8_length(text);
      if (n == 0) return false;
      text.remove_prefix(n);
    }
    return true;
  }

  std::string_view bytes_, who_;
  std::size_t at_ = 0, op_at_ = 0;
  bool done_ = false;
  std::vector<Value> values_;
  std::vector<PickledTensor> tensors_;
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Index> memo_;
};

}  // namespace

std::vector<PickledTensor> read_pickle(std::string_view pickle, std::string_view who) {
  if (pickle.size() > kMaxPickle) {
    throw Error(GRAFT_E_INVALID, cat(who, ": its pickle has ", pickle.size(), " bytes; at most ",
                                     kMaxPickle, " are read."));
  }
  return Machine(pickle, who).run();
}

}  // namespace graft::core::torch
