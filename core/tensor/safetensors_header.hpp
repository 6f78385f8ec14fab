// The JSON header of a safetensors file as a stream of parser events.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/tensor/safetensors.hpp"
#include "core/tensor/safetensors_format.hpp"

namespace graft::core::safetensors {

// One record of the header as it was read, before it is checked against the others.
struct Record {
  std::string name;
  std::string type;
  Extents shape;
  std::vector<std::uint64_t> offsets;
  bool has_type = false, has_shape = false, has_offsets = false;
};

// Takes the header's JSON as a stream of events, so nothing larger than the header is built and
// every departure from the two levels of the format stops the parse.
class HeaderReader {
 public:
  using Number = nlohmann::json;
  std::vector<Record> records;
  Safetensors::Metadata metadata;
  std::string problem;

  bool null() { return refuse("null is not allowed"); }
  bool boolean(bool) { return refuse("a boolean is not allowed"); }
  bool number_float(double, const std::string& text) {
    return refuse(cat("the number ", text.substr(0, 40), " is not allowed"));
  }
  bool number_integer(std::int64_t value) {
    return refuse(cat("the number ", value, " is not allowed"));
  }
  bool binary(Number::binary_t&) { return refuse("binary data is not allowed"); }

  bool number_unsigned(std::uint64_t value) {
    if (place_ == Place::shape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return refuse(cat("extent ", value, " is out of range"));
      }
      if (records.back().shape.size() == max_rank) return refuse("more than 8 dimensions");
      records.back().shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::offsets && records.back().offsets.size() < 2) {
      records.back().offsets.push_back(value);
      return true;
    }
    return refuse(cat("the number ", value, " is not allowed"));
  }

  bool string(std::string& value) {
    if (place_ == Place::metadata) {
      metadata.emplace_back(key_, value);
      return true;
    }
    if (place_ == Place::tensor && key_ == "dtype") {
      records.back().type = value;
      return once(records.back().has_type);
    }
    return refuse(cat("the text '", value.substr(0, 40), "' is not allowed"));
  }

  bool start_object(std::size_t) {
    if (place_ == Place::outside) {
      place_ = Place::top;
      return true;
    }
    if (place_ != Place::top) return refuse("an object is not allowed");
    if (key_ == "__metadata__") {
      if (had_metadata_) return refuse("the key occurs twice");
      had_metadata_ = true;
      place_ = Place::metadata;
    } else {
      records.push_back({});
      records.back().name = key_;
      place_ = Place::tensor;
    }
    return true;
  }

  bool key(std::string& value) {
    if (place_ == Place::top) {
      name_ = value;
      if (value.size() > max_name) return refuse("the name is too long");
    }
    key_ = value;
    return true;
  }

  bool end_object() {
    if (place_ == Place::tensor) {
      const Record& record = records.back();
      if (!record.has_type) return refuse("dtype is missing");
      if (!record.has_shape) return refuse("shape is missing");
      if (!record.has_offsets || record.offsets.size() != 2) {
        return refuse("data_offsets must be two numbers");
      }
    }
    place_ = place_ == Place::top ? Place::outside : Place::top;
    return true;
  }

  bool start_array(std::size_t) {
    if (place_ == Place::tensor && key_ == "shape") {
      place_ = Place::shape;
      return once(records.back().has_shape);
    }
    if (place_ == Place::tensor && key_ == "data_offsets") {
      place_ = Place::offsets;
      return once(records.back().has_offsets);
    }
    return refuse("an array is not allowed");
  }

  bool end_array() {
    place_ = Place::tensor;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    problem = cat("the header is not valid JSON at byte ", position);
    return false;
  }

 private:
  enum class Place { outside, top, tensor, metadata, shape, offsets };

  bool refuse(const std::string& text) {
    problem = place_ == Place::outside || name_.empty()
                  ? cat("in the header ", text)
                  : cat("'", name_.substr(0, 200), "': ", text,
                        key_ == name_ ? "" : cat(" at \"", key_.substr(0, 40), "\""));
    return false;
  }
  bool once(bool& flag) {
    if (flag) return refuse("the key occurs twice");
    flag = true;
    return true;
  }

  Place place_ = Place::outside;
  bool had_metadata_ = false;
  std::string name_, key_;
};

}  // namespace graft::core::safetensors
