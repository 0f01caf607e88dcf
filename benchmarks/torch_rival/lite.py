"""Source-only training of an EfficientNet-Lite segmenter in PyTorch: cross entropy at both heads, faster heads, SGD."""

from torch import nn
from torch.nn import functional as F

from benchmarks.torch_rival import parts
from dakd_jax.models.backbones import efficientnet_lite


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's 'same'."""

    def __init__(self, given, features, kernel, stride=1, dilation=1, groups=1):
        super().__init__(given, features, kernel, stride, 0, dilation, groups, bias=False)

    def forward(self, x):
        pads = []
        for size in (int(x.shape[3]), int(x.shape[2])):  # numbers also where an export traces them
            reach = (self.kernel_size[0] - 1) * self.dilation[0] + 1
            total = max((-(-size // self.stride[0]) - 1) * self.stride[0] + reach - size, 0)
            pads += [total // 2, total - total // 2]
        # Padding of the same number on both sides costs no copy.
        if pads[0] == pads[1] == pads[2] == pads[3]:
            return F.conv2d(x, self.weight, None, self.stride, pads[0], self.dilation, self.groups)
        return F.conv2d(F.pad(x, pads), self.weight, None, self.stride, 0, self.dilation, self.groups)


class InvertedResidual(nn.Module):
    """As dakd_jax.models.backbones.efficientnet_lite's."""

    def __init__(self, plan, given, batch_norm):
        super().__init__()
        within, self.adds = given * plan.expansion, plan.adds
        if plan.expansion > 1:
            self.expand, self.bn0 = SameConv(given, within, 1), batch_norm(within)
        self.depthwise = SameConv(within, within, plan.kernel, plan.stride, plan.dilation, groups=within)
        self.bn1 = batch_norm(within)
        self.project, self.bn2 = SameConv(within, plan.channels, 1), batch_norm(plan.channels)

    def forward(self, x):
        y = F.relu6(self.bn0(self.expand(x))) if hasattr(self, "expand") else x
        y = F.relu6(self.bn1(self.depthwise(y)))
        y = self.bn2(self.project(y))
        return x + y if self.adds else y


class Trunk(nn.Module):
    """The backbone: {name of a block: its output}."""

    def __init__(self, model):
        super().__init__()

        def batch_norm(channels):
            return nn.BatchNorm2d(channels, model.spec.epsilon, model.spec.momentum)

        channels = efficientnet_lite.STEM
        self.stem_conv, self.stem_bn = SameConv(3, channels, 3, 2), batch_norm(channels)
        self.names = []
        for i, plan in enumerate(efficientnet_lite.plan(model.arch, model.output_stride)):
            self.names.append(f"block{i}")
            self.add_module(f"block{i}", InvertedResidual(plan, channels, batch_norm))
            channels = plan.channels

    def forward(self, x):
        x, found = F.relu6(self.stem_bn(self.stem_conv(x))), {}
        for name in self.names:
            x = found[name] = getattr(self, name)(x)
        return found


class Segmenter(nn.Module):
    """uint8 pictures [B, H, W, 3] to log-probabilities [B, C, H, W] by level, at their size."""

    def __init__(self, model, variables, how: parts.How):
        super().__init__()
        if model.width != 1:
            raise ValueError(f"width {model.width:g}: the rival has EfficientNet-Lite of width 1 alone")
        self.model, self.how = model, how
        self.base, self.strides = Trunk(model), self._strides()
        parts.heads(self, variables)
        how.on_device(parts.filled(self, variables))

    def _strides(self):
        plans = enumerate(efficientnet_lite.plan(self.model.arch, self.model.output_stride))
        return {f"block{i}": plan.output_stride for i, plan in plans}

    def logits(self, pictures, levels):
        """{level: (logits, their stride)}."""
        x = ((pictures.to(self.seg1.weight.dtype) - 127) / 128).permute(0, 3, 1, 2)
        with self.how.autocast():
            features = self.base(x)
            main, stride = self.seg1(features[self.model.main_tap]), self.strides[self.model.main_tap]
            if hasattr(self, "seg1_skip"):
                skip = features[self.model.spec.skip_tap]
                factor = stride // self.strides[self.model.spec.skip_tap]
                main = parts.larger(main, factor, skip.shape[2:]) + self.seg1_skip(skip)
                stride //= factor
            logits = {"main": (main, stride)}
            if "auxiliary" in levels:
                tap = self.model.auxiliary_tap
                logits["auxiliary"] = (self.seg2(features[tap]), self.strides[tap])
        return logits

    def forward(self, pictures, levels=parts.LEVELS):
        return parts.log_probabilities(self.logits(pictures, levels), pictures.shape[1:3])


class Rival(parts.Rival):
    """The step of source-only training.

    Args:
      models: ours, a step.options.StepModels of an EfficientNet-Lite of width 1.
      state: ours at step 0.
      weights: a step.options.LossWeights.
      rates: {'segmenter': learning rate}.
      optimizer: an optimizers.SegmenterOptimizer of kind 'sgd'.
    """

    def __init__(self, models, state, weights, rates, *, optimizer, how: parts.How):
        student = Segmenter(models.segmenter, {"params": state.params, "batch_stats": state.batch_stats}, how)
        super().__init__(student, how)
        self.weights = weights
        self.optimizer = parts.sgd(self.student, optimizer, float(rates["segmenter"]))
        self._source = how.compiled(self._source_loss)

    def step(self, batch):
        """One iteration. {curve, named as ours: scalar, not fetched}."""
        self.optimizer.zero_grad(set_to_none=True)
        loss, found = self._source(batch["source_image"], batch["source_label"])
        loss.backward()
        self.optimizer.step()
        return found

    def state_bytes(self) -> int:
        return parts.state_bytes(self.student, self.optimizer)

    def _source_loss(self, pictures, labels):
        seen, weights = self.student(pictures), self.weights
        main, auxiliary = (F.nll_loss(seen[of], labels, ignore_index=255) for of in ("main", "auxiliary"))
        loss = weights.terms["segmentation"] * (main + weights.seg_auxiliary * auxiliary)
        found = {"seg_main": main, "seg_auxiliary": auxiliary, "total": loss}
        return loss, {f"loss/source/{curve}": value.detach() for curve, value in found.items()}
