// A host that records ops as text, so that a test sees what a plugin wrote: "mul(g, scalar0)".
#pragma once
#include <graft/plugin.h>

#include <deque>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/schema.hpp"
#include "core/plugin/host_config.hpp"

namespace graft::core::test {

inline std::string text(const graft_tensor* t) {
  return t ? *reinterpret_cast<const std::string*>(t) : "NULL";
}

class FakeGraph : public graft_ctx {
 public:
  FakeGraph() : graft_ctx{&table()} {}

  graft_tensor* value(std::string name) {
    values_.push_back(std::move(name));
    return reinterpret_cast<graft_tensor*>(&values_.back());
  }
  graft_status status = GRAFT_OK;
  std::string message;
  std::vector<std::string> effects;  // assign() and call() without results, in order

 private:
  static FakeGraph& self(graft_ctx* c) { return *static_cast<FakeGraph*>(c); }
  template <class... Parts>
  static graft_tensor* op(graft_ctx* c, const char* name, const Parts&... parts) {
    std::ostringstream out;
    const char* comma = "";
    out << name << '(';
    ((out << comma << parts, comma = ", "), ...);
    out << ')';
    return self(c).value(out.str());
  }
  using T = graft_tensor*;

  static const graft_ops_api& table() {
    static const graft_ops_api ops = [] {
      graft_ops_api o{};
      o.struct_size = sizeof o;
      o.status = [](const graft_ctx* c) { return static_cast<const FakeGraph*>(c)->status; };
      o.fail = [](graft_ctx* c, graft_status s, const char* m) {
        self(c).status = s;
        self(c).message = m;
      };
      o.matmul = [](graft_ctx* c, T a, T b, std::uint32_t flags) {
        const char* name = flags == GRAFT_TRANS_B ? "mmT" : flags == GRAFT_TRANS_A ? "tmm" : "mm";
        return op(c, name, text(a), text(b));
      };
      o.add = [](graft_ctx* c, T a, T b) { return op(c, "add", text(a), text(b)); };
      o.sub = [](graft_ctx* c, T a, T b) { return op(c, "sub", text(a), text(b)); };
      o.mul = [](graft_ctx* c, T a, T b) { return op(c, "mul", text(a), text(b)); };
      o.affine = [](graft_ctx* c, T x, double m, double a) {
        return op(c, "affine", text(x), m, a);
      };
      o.permute = [](graft_ctx* c, T x, const std::int32_t* axes, std::uint32_t n) {
        return n == 2 ? op(c, "permute", text(x), axes[0], axes[1]) : nullptr;
      };
      o.gather = [](graft_ctx* c, T t, T ids) { return op(c, "gather", text(t), text(ids)); };
      o.dropout = [](graft_ctx* c, T x, double p) { return op(c, "dropout", text(x), p); };
      o.assign = [](graft_ctx* c, T dst, T src) {
        self(c).effects.push_back(text(dst) + " = " + text(src));
      };
      o.call = [](graft_ctx* c, const char* name, T const* in, std::uint32_t n_in,
                  const graft_attr* attr, std::uint32_t n_attr, T*, std::uint32_t n_out) {
        std::ostringstream out;
        out << name << '/' << n_out;
        for (std::uint32_t i = 0; i < n_in; ++i) out << ' ' << text(in[i]);
        for (std::uint32_t i = 0; i < n_attr; ++i) out << ' ' << attr[i].name << '=' << attr[i].f;
        self(c).effects.push_back(out.str());
        return graft_status{GRAFT_OK};
      };
      return o;
    }();
    return ops;
  }

  std::deque<std::string> values_;  // a deque: values stay where they are
};

/// A site that notes the parameters which are declared there.
class FakeSite : public graft_site {
 public:
  FakeSite(std::int32_t kind, std::int64_t in, std::int64_t out, Json options)
      : graft_site{&table()}, config_(std::move(options)) {
    info_.struct_size = sizeof info_;
    info_.kind = kind;
    info_.name = "model.layers.3.self_attn.q_proj";
    info_.in_features = in;
    info_.out_features = out;
  }
  std::vector<std::string> params;  // "name [dims] init scale"
  graft_status refuse_param = GRAFT_OK;

 private:
  static const FakeSite& self(const graft_site* s) { return *static_cast<const FakeSite*>(s); }
  static const graft_site_api& table() {
    static const graft_site_api api = {
        sizeof(graft_site_api),
        0,
        [](const graft_site* s, graft_site_info* out, graft_error*) {
          *out = self(s).info_;
          return graft_status{GRAFT_OK};
        },
        [](const graft_site* s) -> const graft_config* { return &self(s).config_; },
        [](graft_site* s, const graft_param_desc* d, graft_error* error) -> graft_tensor* {
          auto& site = *static_cast<FakeSite*>(s);
          if (site.refuse_param) {
            error->code = site.refuse_param;
            std::snprintf(error->message, sizeof error->message, "no room for %s", d->name);
            return nullptr;
          }
          std::ostringstream out;
          out << d->name << " [";
          for (std::uint32_t i = 0; i < d->n_dims; ++i) out << (i ? ", " : "") << d->dims[i];
          out << "] init " << d->init << " scale " << d->init_scale;
          site.params.push_back(out.str());
          site.names_.push_back(d->name);
          return reinterpret_cast<graft_tensor*>(&site.names_.back());
        },
        [](graft_site*, std::int64_t, graft_error*) { return graft_status{GRAFT_OK}; }};
    return api;
  }

  graft_site_info info_{};
  HostConfig config_;
  std::deque<std::string> names_;
};

/// Options as a user writes them, checked against the plugin's schema, defaults filled in.
inline Json settled(const char* schema, const Json& options) {
  return validate(options, parse_json(schema, "schema"), "options");
}

}  // namespace graft::core::test
