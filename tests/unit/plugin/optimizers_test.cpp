// What the AdamW and SGD plugins compute per step and record, seen through the ABI.
#include <gtest/gtest.h>

#include <cmath>

#include "core/plugin/call.hpp"
#include "core/plugin/registry.hpp"
#include "tests/unit/plugin/expect.hpp"
#include "tests/unit/plugin/fake_host.hpp"
#include "tests/unit/plugin/folder.hpp"

namespace graft::core {
namespace {

using test::FakeGraph;
using test::settled;

// One optimizer, made with the options of a user.
class Optimizer {
 public:
  Optimizer(const std::string& name, const Json& options) {
    folder_.add(test::built("optimizer-" + name));
    RegistryOptions where;
    where.folders = {folder_.path()};
    where.environment = where.installed = false;
    registry_ = std::make_unique<Registry>(where);
    api_ = &registry_->optimizer(name);
    config_ = std::make_unique<HostConfig>(settled(api_->config_schema, options));
    call_plugin(name,
                [&](graft_error* e) { return api_->create(&host_, config_.get(), &self_, e); });
  }
  ~Optimizer() { api_->destroy(self_); }

  std::vector<double> scalars(std::int64_t index, double lr, bool decays) {
    const graft_step step{sizeof(graft_step), decays ? 1u : 0u, index, lr};
    std::vector<double> out(api_->n_scalars);
    api_->scalars(self_, &step, out.data());
    return out;
  }

  // Two parameters: p0 and p1, gradients g0, g1, states s00, s01, ...
  std::vector<std::string> update() {
    FakeGraph graph;
    std::vector<graft_tensor*> param, grad, state, scalars;
    for (int i = 0; i < 2; ++i) {
      param.push_back(graph.value(cat("p", i)));
      grad.push_back(graph.value(cat("g", i)));
      for (std::uint32_t k = 0; k < api_->n_state; ++k) {
        state.push_back(graph.value(cat("s", i, k)));
      }
    }
    for (std::uint32_t k = 0; k < api_->n_scalars; ++k) scalars.push_back(graph.value(cat("c", k)));
    graft_update update{};
    update.struct_size = sizeof update;
    update.n = 2;
    update.param = param.data();
    update.grad = grad.data();
    update.state = state.data();
    update.scalars = scalars.data();
    EXPECT_EQ(api_->update(self_, &graph, &update), GRAFT_OK) << graph.message;
    return graph.effects;
  }

  const graft_optimizer_api& api() const { return *api_; }

 private:
  test::Folder folder_;
  std::unique_ptr<Registry> registry_;
  const graft_optimizer_api* api_ = nullptr;
  HostTable host_{Log()};
  std::unique_ptr<HostConfig> config_;
  graft_optimizer* self_ = nullptr;
};

using Lines = std::vector<std::string>;

TEST(AdamW, RecordsOneUpdatePerParameter) {
  Optimizer adamw("adamw", {{"betas", {0.8, 0.95}}, {"eps", 1e-6}});
  EXPECT_EQ(adamw.api().n_state, 2u);
  EXPECT_EQ(adamw.api().flags, static_cast<std::uint32_t>(GRAFT_OPTIMIZER_ELEMENTWISE));
  EXPECT_EQ(adamw.update(),
            (Lines{"adam_update/0 g0 c0 c1 c2 p0 s00 s01 beta1=0.8 beta2=0.95 eps=1e-06",
                   "adam_update/0 g1 c0 c1 c2 p1 s10 s11 beta1=0.8 beta2=0.95 eps=1e-06"}));
}

TEST(AdamW, ScalarsAreTorchsBiasCorrections) {
  Optimizer adamw("adamw", {{"betas", {0.8, 0.95}}, {"weight_decay", 0.1}});
  const std::vector<double> third = adamw.scalars(3, 0.02, true);
  ASSERT_EQ(third.size(), 3u);
  EXPECT_DOUBLE_EQ(third[0], 1 - 0.02 * 0.1);
  EXPECT_DOUBLE_EQ(third[1], 0.02 / (1 - 0.8 * 0.8 * 0.8));
  EXPECT_DOUBLE_EQ(third[2], 1 / std::sqrt(1 - 0.95 * 0.95 * 0.95));
  EXPECT_EQ(adamw.scalars(3, 0.02, false)[0], 1);
}

TEST(AdamW, DefaultsAreTorchs) {
  Optimizer adamw("adamw", Json::object());
  EXPECT_EQ(adamw.update()[0],
            "adam_update/0 g0 c0 c1 c2 p0 s00 s01 beta1=0.9 beta2=0.999 eps=1e-08");
  EXPECT_DOUBLE_EQ(adamw.scalars(1, 0.5, true)[0], 1 - 0.5 * 0.01);
}

TEST(AdamW, RefusesBetasThatCannotBe) {
  for (const char* bad : {R"({"betas": [0.9]})", R"({"betas": [0.9, 1]})",
                          R"({"betas": [0.9, 0.99, 0.5]})", R"({"lr": 1})"}) {
    EXPECT_THROW(Optimizer("adamw", Json::parse(bad)), Error) << bad;
  }
}

TEST(Sgd, PlainStep) {
  Optimizer sgd("sgd", Json::object());
  EXPECT_EQ(sgd.update(), (Lines{"p0 = sub(p0, mul(g0, c0))", "p1 = sub(p1, mul(g1, c0))"}));
  EXPECT_EQ(sgd.scalars(5, 0.3, true), (std::vector<double>{0.3, 0, 1}));
}

TEST(Sgd, MomentumWithDampeningAndDecay) {
  Optimizer sgd("sgd", {{"momentum", 0.9}, {"dampening", 0.25}, {"weight_decay", 0.01}});
  const std::string g = "add(g0, mul(p0, c1))";
  const std::string b = "add(affine(s00, 0.9, 0), mul(" + g + ", c2))";
  const Lines got = sgd.update();
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got[0], "s00 = " + b);
  EXPECT_EQ(got[1], "p0 = sub(p0, mul(" + b + ", c0))");
  EXPECT_EQ(sgd.scalars(1, 0.3, true), (std::vector<double>{0.3, 0.01, 1})) << "buffer = gradient";
  EXPECT_EQ(sgd.scalars(2, 0.3, true), (std::vector<double>{0.3, 0.01, 0.75}));
  EXPECT_EQ(sgd.scalars(2, 0.3, false)[1], 0);
}

TEST(Sgd, NesterovLooksAhead) {
  Optimizer sgd("sgd", {{"momentum", 0.5}, {"nesterov", true}});
  const std::string b = "add(affine(s00, 0.5, 0), mul(g0, c2))";
  EXPECT_EQ(sgd.update()[1], "p0 = sub(p0, mul(add(g0, affine(" + b + ", 0.5, 0)), c0))");
  test::expect_error(
      [] {
        Optimizer("sgd", {{"nesterov", true}});
      },
      GRAFT_E_INVALID, {"nesterov needs momentum above 0", "momentum is 0"});
}

}  // namespace
}  // namespace graft::core
