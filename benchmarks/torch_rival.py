"""A training step of EfficientNet-Lite in PyTorch, written as its best users would, to be measured beside ours.

channels_last, float32 or bfloat16 by autocast, eager or compiled, and no value of a step is fetched. The same work as
ours: the same network under the same names, losses, decay, momentum and faster heads.
"""

import torch
from torch import nn
from torch.nn import functional as F

from dakd_jax.models.backbones import efficientnet_lite
from dakd_jax.models.segmenter import Segmenter
from dakd_jax.models.weight_files import pretrained


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow's 'same'."""

    def __init__(self, given, features, kernel, stride=1, dilation=1, groups=1):
        super().__init__(given, features, kernel, stride, 0, dilation, groups, bias=False)

    def forward(self, x):
        pads = []
        for size in (x.shape[3], x.shape[2]):
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

    def __init__(self, model: Segmenter):
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


class Rival(nn.Module):
    """The segmenter under the names of ours, and its step.

    Args:
      model: an EfficientNet-Lite of width 1.
      variables: ours, {'params', 'batch_stats'}, to start from.
      optimizer: an optimizers.SegmenterOptimizer of kind 'sgd'.
      rate: learning rate.
      auxiliary_weight: of the loss at the auxiliary head.
      bfloat16: whether autocast computes in it.
    """

    def __init__(self, model, variables, optimizer, *, rate, auxiliary_weight, bfloat16=False):
        super().__init__()
        self.model, self.auxiliary_weight, self.bfloat16 = model, auxiliary_weight, bfloat16
        state = {name: torch.tensor(array) for name, array in pretrained.to_state_dict(variables).items()}
        self.base, self.strides = Trunk(model), self._strides()
        for name in ("seg1", "seg2", "seg1_skip"):
            if f"{name}.weight" in state:
                classes, given = state[f"{name}.weight"].shape[:2]
                setattr(self, name, nn.Conv2d(given, classes, 1))
        self.load_state_dict(state)
        self.to(memory_format=torch.channels_last).train()
        heads = [p for name, p in self.named_parameters() if not name.startswith("base.")]
        groups = [
            {"params": list(self.base.parameters()), "lr": rate},
            {"params": heads, "lr": rate * optimizer.head_factor},
        ]
        how = {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov, "weight_decay": optimizer.weight_decay}
        self.optimizer = torch.optim.SGD(groups, lr=rate, **how)

    def _strides(self):
        plans = enumerate(efficientnet_lite.plan(self.model.arch, self.model.output_stride))
        return {f"block{i}": plan.output_stride for i, plan in plans}

    def forward(self, pictures):
        """uint8 [B, H, W, 3] to {'main', 'auxiliary'}: logits [B, C, H, W] at the pictures' size."""
        x = ((pictures.float() - 127) / 128).permute(0, 3, 1, 2)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            features = self.base(x)
            main, stride = self.seg1(features[self.model.main_tap]), self.strides[self.model.main_tap]
            auxiliary = self.seg2(features[self.model.auxiliary_tap])
            if hasattr(self, "seg1_skip"):
                skip = features[self.model.spec.skip_tap]
                factor = stride // self.strides[self.model.spec.skip_tap]
                main = _larger(main, factor, skip.shape[2:]) + self.seg1_skip(skip)
                stride //= factor
        size = x.shape[2:]
        return {
            "main": _larger(main.float(), stride, size),
            "auxiliary": _larger(auxiliary.float(), self.strides[self.model.auxiliary_tap], size),
        }

    def step(self, pictures, labels):
        """One iteration on uint8 [B, H, W, 3] and int64 [B, H, W]; the loss, not fetched."""
        logits = self(pictures)
        loss = F.cross_entropy(logits["main"], labels, ignore_index=255)
        loss = loss + self.auxiliary_weight * F.cross_entropy(logits["auxiliary"], labels, ignore_index=255)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def _larger(x, factor, size):
    """Bilinear with aligned corners by `factor`, cut to (height, width)."""
    if factor > 1:
        x = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)
    return x[:, :, : size[0], : size[1]]
